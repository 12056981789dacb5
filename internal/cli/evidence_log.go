package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"path"
	"strings"

	"agentbox/internal/audit"
	"agentbox/internal/report"
)

// maxEgress is how many records of what left are in a document of their own. All are in the log.
const maxEgress = 2000

// takeLog adds the log byte by byte, file by file, and what verification says of these bytes.
func (g *gatherer) takeLog(context.Context) error {
	if g.s.log == "" {
		return errors.Join(errors.New("the session's log was not found"), g.s.lost)
	}
	log, err := audit.Take(g.s.log)
	if err != nil {
		return err
	}
	g.log = log
	for _, f := range log.Files {
		name := path.Join("log", f.Name)
		g.progress(name, f.Size)
		g.broken = cmp.Or(g.broken, g.bundle.Copy(name, "the session's log", f.Bytes(), f.Size))
	}
	records, err := log.Reader()
	if err != nil {
		return err
	}
	if g.verified, err = audit.Verify(records, audit.Expected{}); err != nil {
		return err
	}
	return g.addJSON("verification.json", "what verification says of the log that is here", g.verified)
}

// records reads what was taken of the log.
func (g *gatherer) records(f audit.Filter) (iter.Seq2[audit.Record, error], error) {
	if g.log == nil {
		return nil, errNothing("there is no log to make it of")
	}
	r, err := g.log.Reader()
	if err != nil {
		return nil, err
	}
	return audit.Read(r, f), nil
}

// policy adds the effective policy as the log has it, on which nobody has acted since.
func (g *gatherer) policy(context.Context) error {
	records, err := g.records(audit.Filter{Types: []string{(audit.Start{}).Type()}})
	if err != nil {
		return err
	}
	for r, err := range records {
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
	records, err := g.records(audit.Filter{Types: []string{"network", "credential", "budget"}})
	if err != nil {
		return err
	}
	var lines []string
	var broken error
	for r, err := range records {
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
	records, err := g.records(audit.Filter{})
	if err != nil {
		return err
	}
	m := report.Meanwhile{Changes: g.wrote}
	if g.s.live {
		m.State = g.s.info.State
	}
	r := report.From(records, g.verified, m)
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
