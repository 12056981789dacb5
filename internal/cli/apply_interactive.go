package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"agentbox/internal/workspace"
)

// maxAnswer bounds a line that answers a question.
const maxAnswer = 4096

// errQuit says that the person wants no more questions.
var errQuit = errors.New("no more questions")

// A picker asks about changes, one after the other.
type picker struct {
	c      *caller
	ch     *changes
	answer func() (string, error)
	chosen workspace.Selection
	place  string // the last directory that is to give way to a file
}

// lineReader reads answers, one line each; a signal ends the wait.
func lineReader(ctx context.Context, in io.Reader) func() (string, error) {
	type line struct {
		text string
		err  error
	}
	asked, answers := make(chan struct{}), make(chan line, 1)
	go func() { // ends with the process: a read of a terminal cannot be called off
		b := bufio.NewReaderSize(in, maxAnswer)
		for range asked {
			text, err := b.ReadSlice('\n')
			if errors.Is(err, io.EOF) && len(text) > 0 {
				err = nil
			}
			answers <- line{strings.TrimSpace(string(text)), err}
		}
	}()
	return func() (string, error) {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case asked <- struct{}{}:
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case l := <-answers:
			return l.text, l.err
		}
	}
}

// hear takes an answer, and ends the question's line where the person's own line feed is not on the screen.
func (c *caller) hear(answer func() (string, error)) (string, error) {
	line, err := answer()
	if !isTerminal(c.in) || err != nil {
		c.voice.err.write("\n")
	}
	return line, err
}

// askHow shows what there is and asks what to do about it.
func (c *caller) askHow(ctx context.Context, ch *changes, r *workspace.Review) (all, interactive bool, err error) {
	c.listChanges(r)
	c.voice.notef("%s in session %s: %s", counted(len(r.Changes), "change", "changes"), ch.kept.Info.ID, summaryText(r.Summary()))
	c.voice.ask("apply all, look at each, or apply nothing? [a/i/N]")
	answer, err := c.hear(lineReader(ctx, c.in))
	if err != nil && !errors.Is(err, io.EOF) {
		return false, false, err
	}
	switch strings.ToLower(answer) {
	case "a", "all":
		return true, false, nil
	case "i", "interactive":
		return false, true, nil
	}
	c.voice.notef("%s", nothingApplied)
	return false, false, exitStatus(exitFailure)
}

// pick asks about each change that the command line chose, or about all of them.
func (c *caller) pick(ctx context.Context, ch *changes, r *workspace.Review, from workspace.Selection) (workspace.Selection, error) {
	p := &picker{c: c, ch: ch, answer: lineReader(ctx, c.in), chosen: workspace.Selection{Exact: true, Hunks: map[string][]int{}, Resolve: from.Resolve}}
	var list []*workspace.Change
	for i := range r.Changes {
		one := &r.Changes[i]
		if from.All || len(from.Paths) == 0 || slices.ContainsFunc(from.Paths, func(path string) bool { return covers(path, one) }) {
			list = append(list, one)
		}
	}
	for n, one := range list {
		if implied(list, n) || p.replaced(one) {
			continue
		}
		if err := p.change(ctx, one); errors.Is(err, errQuit) {
			break
		} else if err != nil {
			return p.chosen, err
		}
	}
	p.directories(list)
	if len(p.chosen.Paths) == 0 {
		c.voice.notef("%s", nothingApplied)
		return p.chosen, exitStatus(exitFailure)
	}
	return p.chosen, nil
}

// implied reports that a directory comes or goes with what is in it, so that nobody is asked about it.
func implied(list []*workspace.Change, n int) bool {
	one := list[n]
	comes := one.Kind == workspace.Added && one.After.Type == workspace.Dir
	goes := one.Kind == workspace.Deleted && one.Before.Type == workspace.Dir
	return (comes || goes) && n+1 < len(list) && strings.HasPrefix(list[n+1].Path, one.Path+"/")
}

// replaced takes what is in a directory of which a file takes the place: it goes with it.
func (p *picker) replaced(one *workspace.Change) bool {
	if p.place == "" || !strings.HasPrefix(one.Path, p.place+"/") {
		return false
	}
	p.chosen.Paths = append(p.chosen.Paths, one.Path)
	return true
}

// directories adds those that go with what is in them.
func (p *picker) directories(list []*workspace.Change) {
	in := map[string]bool{}
	for _, name := range p.chosen.Paths {
		in[name] = true
	}
	for n, one := range slices.Backward(list) {
		if one.Kind != workspace.Deleted || !implied(list, n) || in[one.Path] {
			continue
		}
		rest := slices.ContainsFunc(list[n+1:], func(other *workspace.Change) bool {
			return strings.HasPrefix(other.Path, one.Path+"/") && !in[other.Path]
		})
		if !rest {
			in[one.Path] = true
			p.chosen.Paths = append(p.chosen.Paths, one.Path)
		}
	}
}

// change shows one change and asks about it.
func (p *picker) change(ctx context.Context, one *workspace.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	diff, err := p.ch.FileDiff(one)
	if err != nil {
		return fmt.Errorf("%s: %w", one.Path, err)
	}
	p.c.showDiff(diff.Header)
	p.c.showMarks(one)
	if one.Refused != "" {
		return nil
	}
	parts := len(diff.Hunks) > 1 && one.Kind != workspace.Added && one.Kind != workspace.Deleted && one.Kind != workspace.Retyped
	switch _, decided := p.chosen.Resolve[one.Path]; {
	case one.Conflict != "" && !decided:
		return p.conflict(one, diff)
	case parts:
		return p.hunks(one, diff)
	}
	for _, hunk := range diff.Hunks {
		p.c.showDiff(hunk)
	}
	key, err := p.ask(fmt.Sprintf("apply this (%s)?", kindWords[one.Kind]), "ynq", wholeHelp)
	if key == 'y' {
		p.chosen.Paths = append(p.chosen.Paths, one.Path)
	}
	if key == 'y' && one.Kind == workspace.Retyped && one.Before.Type == workspace.Dir {
		p.place = one.Path
	}
	return err
}

const (
	wholeHelp = "y - apply it\nn - do not apply it\nq - do not apply it, nor anything that has not been asked about; apply what was agreed to"
	hunkHelp  = "y - apply this part\nn - do not apply this part\na - apply this part and all later ones of the file\n" +
		"d - apply neither this part nor a later one of the file\n" +
		"q - apply neither this part nor anything that has not been asked about; apply what was agreed to"
	bothHelp = "t - take theirs: what the agent made of it replaces what is on the host\no - leave ours: the host's stays\n" +
		"m - merge: both sides' changes, where they do not touch each other\n" +
		"n - do not apply it\nq - do not apply it, nor anything that has not been asked about; apply what was agreed to"
)

// kindWords are the kinds of change in a question.
var kindWords = map[workspace.Kind]string{
	workspace.Added: "a new file", workspace.Modified: "a change", workspace.Deleted: "a deletion", workspace.Renamed: "a rename",
	workspace.Remoded: "a change of permissions", workspace.Retyped: "a change of type",
}

// hunks asks about each part of a change.
func (p *picker) hunks(one *workspace.Change, diff *workspace.FileDiff) error {
	var taken []int
	var err error
	for n, rest := 0, byte(0); n < len(diff.Hunks); n++ {
		key := rest
		if rest == 0 {
			p.c.showDiff(diff.Hunks[n])
			key, err = p.ask(fmt.Sprintf("apply this part (%d/%d)?", n+1, len(diff.Hunks)), "ynadq", hunkHelp)
			if key == 'a' || key == 'd' {
				rest = key
			}
		}
		if key == 'y' || key == 'a' {
			taken = append(taken, n)
		}
		if err != nil {
			break
		}
	}
	if len(taken) > 0 {
		p.chosen.Paths = append(p.chosen.Paths, one.Path)
		if len(taken) < len(diff.Hunks) {
			p.chosen.Hunks[one.Path] = taken
		}
	}
	return err
}

// conflict asks which side counts.
func (p *picker) conflict(one *workspace.Change, diff *workspace.FileDiff) error {
	for _, hunk := range diff.Hunks {
		p.c.showDiff(hunk)
	}
	key, err := p.ask("both sides changed this: theirs, ours, merge or nothing?", "tomnq", bothHelp)
	how, ok := map[byte]workspace.Resolution{'t': workspace.TakeAgent, 'o': workspace.KeepHost, 'm': workspace.Merge}[key]
	if ok {
		p.chosen.Paths, p.chosen.Resolve[one.Path] = append(p.chosen.Paths, one.Path), how
	}
	return err
}

// ask returns one of keys. The end of the input is q, which comes with errQuit.
func (p *picker) ask(question, keys, help string) (byte, error) {
	for {
		p.c.voice.ask("%s [%s,?]", question, strings.Join(strings.Split(keys, ""), ","))
		line, err := p.c.hear(p.answer)
		switch line = strings.ToLower(line); {
		case errors.Is(err, io.EOF):
			return 'q', errQuit
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return 0, err
		case line == "q":
			return 'q', errQuit
		case len(line) == 1 && strings.Contains(keys, line):
			return line[0], nil
		}
		for text := range strings.Lines(help) {
			p.c.voice.notef("%s", strings.TrimSpace(text))
		}
	}
}
