package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"agentbox/internal/audit"
	"agentbox/internal/report"
)

// maxEgress is how many records of what left are in a document of their own. All are in the log.
const maxEgress = 2000

// A logPart is a file of the session's log as far as it had been written when it was looked at.
type logPart struct {
	file *os.File
	size int64
	name string // in the bundle
}

// takeLog adds the log byte by byte, and what verification says of these bytes.
func (g *gatherer) takeLog(context.Context) error {
	if g.s.log == "" {
		return errors.Join(errors.New("the session's log was not found"), g.s.lost)
	}
	f, err := audit.Open(g.s.log)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	g.log = append(g.log, logPart{f, st.Size(), path.Join("log", filepath.Base(g.s.log))})
	for _, p := range g.log {
		g.copyLog(p)
	}
	if g.verified, err = audit.Verify(g.read(), audit.Expected{}); err != nil {
		return err
	}
	return g.addJSON("verification.json", "what verification says of the log that is here", g.verified)
}

func (g *gatherer) closeLog() {
	for _, p := range g.log {
		p.file.Close()
	}
}

// read reads what was taken of the log, from its beginning.
func (g *gatherer) read() io.Reader {
	var all []io.Reader
	for _, p := range g.log {
		all = append(all, io.NewSectionReader(p.file, 0, p.size))
	}
	return io.MultiReader(all...)
}

// policy adds the effective policy as the log has it, on which nobody has acted since.
func (g *gatherer) policy(context.Context) error {
	for r, err := range audit.Read(g.read(), audit.Filter{Types: []string{(audit.Start{}).Type()}}) {
		if err != nil {
			return err
		}
		e, err := r.Event()
		if err != nil {
			return err
		}
		if start, ok := e.(*audit.Start); ok {
			g.start = start
			return g.addJSON("policy.json", "the effective policy, from the log", json.RawMessage(start.Policy))
		}
	}
	return errors.New("the log does not have the session's start")
}

// egress adds the latest records of what left. A log that was changed is read as far as it was not.
func (g *gatherer) egress(context.Context) error {
	var lines []string
	var broken error
	for r, err := range audit.Read(g.read(), audit.Filter{Types: []string{"network", "credential", "budget"}}) {
		if err != nil {
			broken = err
			break
		}
		if lines = append(lines, r.Line()+"\n"); len(lines) > maxEgress {
			lines = lines[1:]
		}
	}
	g.add("egress.jsonl", "the latest records of what left, from the log", []byte(strings.Join(lines, "")))
	return broken
}

// reports adds the impact report, in each of its forms.
func (g *gatherer) reports(context.Context) error {
	if g.log == nil {
		return errNothing("there is no log to make it of")
	}
	m := report.Meanwhile{Changes: g.wrote}
	if g.s.live {
		m.State = g.s.info.State
	}
	r := report.From(audit.Records(g.read()), g.verified, m)
	for _, form := range []struct {
		name, what string
		write      func(io.Writer) error
	}{
		{"report.html", "the impact report as one page that asks nobody", r.WriteHTML},
		{"report.txt", "the impact report as text", r.WriteText},
		{"report.json", "the impact report as data", r.WriteJSON},
	} {
		var data bytes.Buffer
		if err := form.write(&data); err != nil {
			return err
		}
		g.add(form.name, form.what, data.Bytes())
	}
	return nil
}
