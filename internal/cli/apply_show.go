package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"

	"agentbox/internal/workspace"
)

// maxListed bounds what is listed of what was done; the receipt in the log has all of it.
const maxListed = 100

// showDiff prints a part of a diff so that a terminal obeys nothing in it, in git's colours.
func (c *caller) showDiff(part []byte) {
	var b bytes.Buffer
	w := workspace.Visible(&b)
	_, _ = w.Write(part) // to a buffer
	_ = w.Close()
	head := !bytes.HasPrefix(part, []byte("@@"))
	for line := range strings.Lines(b.String()) {
		text, end := strings.TrimSuffix(line, "\n"), line[len(strings.TrimSuffix(line, "\n")):]
		paint := color.Reset
		switch {
		case head && text != "":
			paint = color.Bold
		case strings.HasPrefix(text, "@@"):
			paint = color.FgCyan
		case strings.HasPrefix(text, "+"):
			paint = color.FgGreen
		case strings.HasPrefix(text, "-"):
			paint = color.FgRed
		}
		if paint != color.Reset {
			text = c.voice.out.paint(text, paint)
		}
		c.voice.out.write(text + end)
	}
}

// showMarks says what a person must know of a change before they agree to it.
func (c *caller) showMarks(one *workspace.Change) {
	for _, h := range one.Handoffs {
		c.voice.warnf("%s: a hand-off file: %s", one.Path, h.When)
	}
	for _, mark := range [][2]string{
		{"the profile masks it", one.Masked}, {"the profile protects it", one.Protected}, {"conflict", one.Conflict}, {"never applied", one.Refused},
	} {
		if mark[1] != "" {
			c.voice.warnf("%s: %s: %s", one.Path, mark[0], mark[1])
		}
	}
	for _, note := range one.Notes {
		c.voice.notef("%s: %s", one.Path, note)
	}
}

// listChanges prints the changes, one a line.
func (c *caller) listChanges(r *workspace.Review) {
	var rows [][]string
	for i := range r.Changes {
		if i == maxListed {
			break
		}
		rows = append(rows, []string{string(r.Changes[i].Kind), changeName(&r.Changes[i])})
	}
	c.voice.table(false, rows)
	if rest := len(r.Changes) - maxListed; rest > 0 {
		c.voice.printf("and %d more\n", rest)
	}
}

func changeName(one *workspace.Change) string {
	if one.From != "" {
		return one.From + " -> " + one.Path
	}
	return one.Path
}

// showApplied says what became of the changes. What was held back makes the exit code.
func (c *caller) showApplied(ctx context.Context, a *applied) error {
	if a.options.json {
		if err := c.voice.json(a.answer()); err != nil {
			return err
		}
	} else {
		c.listItems(a)
		c.tellHeld(a)
		c.tellEnd(a)
	}
	if len(a.plan.Held) > 0 {
		return exitStatus(exitFailure)
	}
	return nil
}

// listItems prints what was written, or would be.
func (c *caller) listItems(a *applied) {
	var rows [][]string
	for i, item := range a.plan.Items {
		if i == maxListed && !a.options.dryRun {
			break
		}
		name := changeName(&item.Change)
		switch item.Source {
		case "hunks":
			name += " (in part)"
		case "merge":
			name += " (merged with the host's changes)"
		}
		rows = append(rows, []string{string(item.Change.Kind), name})
	}
	c.voice.table(false, rows)
	if rest := len(a.plan.Items) - len(rows); rest > 0 {
		c.voice.printf("and %d more\n", rest)
	}
}

// remedies are what lets a held change through, in the order in which they are said.
var remedies = []struct {
	need workspace.Need
	text string
}{
	{workspace.NeedName, "a file that is held back for its name is applied when it is named itself, as a PATH; --allow-handoff lets hand-off files through"},
	{workspace.NeedResolution, "--theirs PATH takes the agent's version, --ours PATH leaves the host's, --merge PATH writes both changes"},
	{workspace.NeedOthers, "what needs other changes is applied together with them"},
	{"", `what is never applied goes with "agentbox discard"`},
}

func remedyFor(need workspace.Need) string {
	for _, r := range remedies {
		if r.need == need {
			return r.text
		}
	}
	return ""
}

// tellHeld lists what was held back, each with the reason, and once for each kind of reason what to do.
func (c *caller) tellHeld(a *applied) {
	needs := map[workspace.Need]bool{}
	for _, h := range a.plan.Held {
		c.voice.warnf("held back: %s: %s", h.Change.Path, h.Why)
		needs[h.Need] = true
	}
	for _, r := range remedies {
		if needs[r.need] {
			c.voice.hint(r.text)
		}
	}
}

// tellEnd says how many changes were applied, and what is left.
func (c *caller) tellEnd(a *applied) {
	id, n := a.ch.kept.Info.ID, counted(len(a.plan.Items), "change", "changes")
	switch {
	case len(a.review.Changes) == 0:
		c.voice.notef("nothing differs from the project")
	case a.options.dryRun:
		c.voice.notef("%s would be applied, %d held back; nothing was written", n, len(a.plan.Held))
	case a.receipt == nil:
		c.voice.notef("%s", nothingApplied)
	default:
		c.voice.notef("%s applied, receipt %s", n, a.receipt.ID)
	}
	switch {
	case a.removed:
		c.voice.notef("nothing waits in session %s any more: what it kept of the workspace was removed", id)
	case a.receipt != nil && a.remain != nil:
		left := counted(len(a.remain.Changes), "change remains", "changes remain")
		c.voice.notef("%s in session %s: %s", left, id, summaryText(a.remain.Summary()))
		c.voice.hint(fmt.Sprintf(`"agentbox diff %[1]s" shows what is left, "agentbox discard %[1]s" drops it`, id))
	}
}

// An applyAnswer is what --json prints.
type applyAnswer struct {
	Version   int           `json:"version"`
	Session   string        `json:"session"`
	Workspace string        `json:"workspace"`
	DryRun    bool          `json:"dry_run"`
	Digest    string        `json:"digest"`  // of the changes before
	Receipt   string        `json:"receipt"` // "" when nothing was written
	Applied   []appliedItem `json:"applied"` // or what would be
	Held      []heldItem    `json:"held"`
	Remain    *int          `json:"remain"` // how many changes are left; null when that was not looked at
	Removed   bool          `json:"removed"`
}

type appliedItem struct {
	Path       string           `json:"path"`
	PathBytes  []byte           `json:"path_base64,omitempty"` // where the name is not UTF-8
	From       string           `json:"from,omitempty"`
	FromBytes  []byte           `json:"from_base64,omitempty"`
	Kind       workspace.Kind   `json:"kind"`
	Source     string           `json:"source"` // agent, hunks or merge
	Before     *workspace.State `json:"before"` // null: there was nothing
	After      *workspace.State `json:"after"`
	Resolution string           `json:"resolution,omitempty"` // of a conflict: theirs or merge
}

type heldItem struct {
	Path      string         `json:"path"`
	PathBytes []byte         `json:"path_base64,omitempty"`
	Kind      workspace.Kind `json:"kind"`
	Why       string         `json:"why"`
	Need      workspace.Need `json:"need"`   // name, resolution or others; "" for what is never applied
	Remedy    string         `json:"remedy"` // in words
}

func (a *applied) answer() applyAnswer {
	out := applyAnswer{Version: 1, Session: a.ch.kept.Info.ID, Workspace: a.ch.kept.Info.Workspace, DryRun: a.options.dryRun, Digest: a.review.Digest(),
		Applied: []appliedItem{}, Held: []heldItem{}, Removed: a.removed}
	if a.receipt != nil {
		out.Receipt = a.receipt.ID
	}
	if a.remain != nil {
		n := len(a.remain.Changes)
		out.Remain = &n
	}
	for _, item := range a.plan.Items {
		one := appliedItem{Path: item.Change.Path, PathBytes: exact(item.Change.Path), From: item.Change.From, FromBytes: exact(item.Change.From),
			Kind: item.Change.Kind, Source: item.Source, Before: shownState(item.Change.Before), After: shownState(item.After)}
		if one.Before != nil && item.Change.Masked != "" {
			one.Before.SHA256 = "" // a short secret can be guessed from its hash
		}
		if item.Change.Conflict != "" {
			one.Resolution = map[string]string{"merge": "merge"}[item.Source]
			if one.Resolution == "" {
				one.Resolution = "theirs"
			}
		}
		out.Applied = append(out.Applied, one)
	}
	for _, h := range a.plan.Held {
		out.Held = append(out.Held, heldItem{Path: h.Change.Path, PathBytes: exact(h.Change.Path), Kind: h.Change.Kind,
			Why: h.Why, Need: h.Need, Remedy: remedyFor(h.Need)})
	}
	return out
}

// exact is a name that JSON cannot hold.
func exact(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

func shownState(s workspace.State) *workspace.State {
	if s.Type == workspace.None {
		return nil
	}
	return &s
}

func sortedNames(m map[string][]byte) []string { return slices.Sorted(maps.Keys(m)) }
