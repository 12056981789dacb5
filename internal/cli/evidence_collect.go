package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/audit"
	"agentbox/internal/cgroup"
	"agentbox/internal/escape"
	"agentbox/internal/evidence"
	"agentbox/internal/processes"
	"agentbox/internal/session"
	"agentbox/launch"
)

// A gatherer collects the documents of one bundle.
type gatherer struct {
	c        *caller
	s        *subject
	bundle   *evidence.Bundle
	shapes   audit.Redactor
	log      *audit.Snapshot  // nil: it was not found
	verified audit.Report     // what is in log
	start    *audit.Start     // nil: the log does not have it
	wrote    []*audit.Changes // what the agent has written and nobody has decided about
	failed   []evidence.Lack  // what should be there and is not
	seen     *processes.View  // nil: nobody could look
	broken   error            // the bundle cannot be written
}

// errNothing is about a document that does not belong to such a session; the text says why.
type errNothing string

func (e errNothing) Error() string { return string(e) }

const (
	noBox     = errNothing("there is no box any more")
	noOverlay = errNothing("the session has no overlay, or all of it was applied or discarded; the log's workspace.changes says what was in it")
)

// all collects everything. Its error is one of writing; what cannot be collected is noted. What changes soonest comes first.
func (g *gatherer) all(ctx context.Context) error {
	defer func() { g.log.Close() }()
	for _, step := range []struct {
		document string
		collect  func(context.Context) error
	}{
		{"README.txt", g.readme},
		{"session.json", g.session},
		{"processes.json", g.processes},
		{"cgroup.json", g.cgroups},
		{"changes.json", g.changes},
		{"log", g.takeLog},
		{"policy.json", g.policy},
		{"egress.jsonl", g.egress},
		{"report.html", g.reports},
		{"versions.json", g.versions},
	} {
		err := step.collect(ctx)
		if g.broken != nil || ctx.Err() != nil {
			return cmp.Or(g.broken, ctx.Err())
		}
		if err != nil {
			g.lack(step.document, err)
		}
	}
	if g.s.live {
		g.steady()
	}
	return nil
}

// lack notes that a document is missing.
func (g *gatherer) lack(document string, err error) {
	why := escape.Text(err.Error())
	g.bundle.Lacks(document, why)
	if !errors.As(err, new(errNothing)) {
		g.failed = append(g.failed, evidence.Lack{Name: document, Why: why})
	}
}

// steady notes a session that was resumed, frozen or ended meanwhile, and one that ran although it was frozen: where stop
// signals are all there is, a process can have a timer send itself the one that undoes them.
func (g *gatherer) steady() {
	_, info, err := g.c.findSession(g.s.id)
	if err != nil {
		info.State = stateEnded
	}
	if info.State != g.s.info.State {
		g.lack("one moment", fmt.Errorf("the session was %s at the beginning and %s at the end: the documents may contradict each other", g.s.info.State, info.State))
		return
	}
	if g.seen == nil || info.State != session.Frozen {
		return
	}
	if ran := g.seen.Ran(); ran != nil {
		g.lack("one moment", fmt.Errorf("the session was frozen, and processes ran all the same, %d for one: they undo stop signals, and a box without a control group has no other freeze", ran[0]))
	}
}

func (g *gatherer) add(name, what string, data []byte) {
	g.progress(name, int64(len(data)))
	g.broken = cmp.Or(g.broken, g.bundle.Add(name, what, data))
}

// addJSON adds a document in printable ASCII.
func (g *gatherer) addJSON(name, what string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		g.add(name, what, append(escape.JSON(data), '\n'))
	}
	return err
}

func (g *gatherer) readme(context.Context) error {
	g.add("README.txt", "how to read and check this", fmt.Appendf(nil, evidenceReadme, g.s.id, g.s.id, g.s.moment()))
	return nil
}

const evidenceReadme = `Evidence of the agentbox session %s

  sha256sum -c SHA256SUMS           checks every document
  agentbox log verify log/%s.jsonl  checks the log itself

report.html is for people, report.txt the same as text; begin there. manifest.json says what each document is, and which
ones are missing and why. As to time: %s.

What a process or a file is called is the agent's own choice, and is escaped. Arguments of programs are what was claimed.
There are no contents of files, no values of variables, and no secret that agentbox knew of.
`

// session adds what the supervisor says, or what its directory kept.
func (g *gatherer) session(context.Context) error {
	info := g.s.info
	if info.ID == "" {
		return errNothing("only the log is left of the session")
	}
	var silent error
	if g.s.live {
		reply, err := session.Call(g.s.root, g.s.id, session.Request{Op: session.OpInfo}, answering)
		if err == nil && reply.Info != nil {
			info = *reply.Info
		} else {
			silent = fmt.Errorf("what the box uses is missing: the supervisor does not answer (%w)", cmp.Or(err, errors.New(reply.Error)))
		}
	}
	command := audit.Texts(info.Command)
	g.cut(pointers(command))
	info.Command = nil
	err := g.addJSON("session.json", "what the supervisor knows of the session, and what it uses", struct {
		session.Info
		Command []audit.Text `json:"command"`
	}{info, command})
	return errors.Join(err, silent)
}

func pointers(list []audit.Text) []*audit.Text {
	out := make([]*audit.Text, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// boxAlive opens the box's PID 1; without it there are no processes to look at.
func (g *gatherer) boxAlive() (*os.File, error) {
	if g.s.info.BoxPID == 0 || !g.s.live && !g.s.dead {
		return nil, noBox
	}
	box, err := session.OpenProcess(g.s.info.BoxPID, g.s.info.BoxStartTicks)
	if errors.Is(err, os.ErrProcessDone) {
		return nil, noBox
	}
	return box, err
}

// processes adds what runs in the box.
func (g *gatherer) processes(context.Context) error {
	box, err := g.boxAlive()
	if err != nil {
		return err
	}
	defer box.Close()
	view, err := processes.Of(g.s.info.BoxPID)
	if gone(box, 0) || errors.Is(err, os.ErrProcessDone) {
		return noBox
	}
	if err != nil {
		return err
	}
	g.seen = view
	g.cut(view.Texts())
	err = g.addJSON("processes.json", "every process of the box, with its files, and the sockets", view)
	g.add("processes.txt", "the processes as a tree", []byte(view.Tree()))
	g.add("mounts.txt", "what is mounted in the box, in the form of mountinfo in proc(5)", []byte(view.MountTable()))
	for _, lost := range view.Errors {
		err = errors.Join(err, errors.New(lost))
	}
	return err
}

// cgroups adds limits and counters as the kernel has them.
func (g *gatherer) cgroups(context.Context) error {
	switch {
	case !g.s.live && !g.s.dead:
		return noBox
	case len(g.s.info.Cgroups) == 0:
		return errNothing("the box has no control group of its own")
	}
	return g.addJSON("cgroup.json", "limits and counters of the box's control groups", cgroup.ReadFigures(g.s.info.Cgroups))
}

// changes adds what the agent wrote, in the form that the log has it in.
func (g *gatherer) changes(ctx context.Context) error {
	if g.s.kept == nil || g.s.kept.Workspace == "" {
		return noOverlay
	}
	ch := &changes{kept: *g.s.kept}
	defer ch.close()
	var err error
	ch.record, err = session.HoldRecord(filepath.Dir(filepath.Dir(ch.kept.Workspace)), g.s.id)
	if err != nil && !errors.Is(err, session.ErrRunning) {
		return err
	}
	if _, err := os.Lstat(ch.grave()); err == nil {
		return errNothing("the changes are being removed: they were discarded")
	}
	if err := ch.open(); err != nil {
		return err
	}
	if ch.record == nil {
		ch.Live()
	}
	review, err := ch.Review(ctx)
	if err != nil {
		return err
	}
	records := changesRecords(review)
	if records == nil {
		records = []*audit.Changes{}
	}
	var names []*audit.Text
	for _, r := range records {
		for i := range r.Items {
			names = append(names, &r.Items[i].Path, &r.Items[i].From)
		}
	}
	g.cut(names)
	g.wrote = records
	err = g.addJSON("changes.json", "every path that the agent changed and nobody has decided about, with hashes", records)
	if ch.layers.Memory {
		err = errors.Join(err, errors.New("what was written lately was in memory, and is lost"))
	}
	return err
}

// versions adds what made the session, and what looks at it now.
func (g *gatherer) versions(context.Context) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	system, _ := os.ReadFile("/etc/os-release")
	host, err := launch.Probe()
	if err != nil {
		return err
	}
	var ran audit.Text
	if g.start != nil {
		ran = g.start.Agentbox
	}
	return g.addJSON("versions.json", "of agentbox, its parts, and the system", struct {
		Session  audit.Text `json:"session_agentbox"` // the version that ran it
		Agentbox versions   `json:"agentbox"`
		Modules  []string   `json:"modules"`
		Kernel   string     `json:"kernel"`
		System   audit.Text `json:"os_release"`
		Now      time.Time  `json:"now"`
	}{ran, currentVersions(host.LandlockABI), modules(), fmt.Sprintf("%s %s %s", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]),
		unix.ByteSliceToString(u.Version[:])), audit.Text(system), time.Now().UTC()})
}

// cut replaces secrets in texts that did not come through the log: those that the supervisor knows, if it answers, and
// what looks like one.
func (g *gatherer) cut(texts []*audit.Text) {
	for _, t := range texts {
		*t = audit.Text(g.shapes.Redact(string(*t)))
	}
	if !g.s.live {
		return
	}
	if err := g.askToCut(texts); err != nil && !g.unasked() {
		g.lack("values of credentials", fmt.Errorf("the supervisor could not be asked to look for them in what was read from the box (%w); what looks like a secret was cut all the same", err))
	}
}

func (g *gatherer) unasked() bool {
	for _, l := range g.bundle.Missing() {
		if l.Name == "values of credentials" {
			return true
		}
	}
	return false
}

// cutMargin is left away where a text goes on beyond what a request holds: a secret may begin before and end behind.
const cutMargin = 4 << 10

// askToCut sends the texts in requests of a size that the supervisor takes. Longer texts are cut: nobody could look for
// secrets in the rest.
func (g *gatherer) askToCut(texts []*audit.Text) error {
	for len(texts) > 0 {
		n, size := 0, 0
		var batch [][]byte
		for n < len(texts) && (n == 0 || size+len(*texts[n]) <= session.MaxTexts && n < 1024) {
			part := string(*texts[n])
			batch = append(batch, []byte(part[:min(len(part), session.MaxTexts)]))
			size += len(part)
			n++
		}
		reply, err := session.Call(g.s.root, g.s.id, session.Request{Op: session.OpRedact, Texts: batch}, answering)
		if err == nil && (!reply.OK || len(reply.Texts) != n) {
			err = errors.New(cmp.Or(reply.Error, "the supervisor is of another version"))
		}
		if err != nil {
			return err
		}
		for i, text := range reply.Texts {
			if len(*texts[i]) > session.MaxTexts {
				text = append(text[:max(0, len(text)-cutMargin)], " [cut by agentbox]"...)
			}
			*texts[i] = audit.Text(text)
		}
		texts = texts[n:]
	}
	return nil
}
