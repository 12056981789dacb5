package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"

	"agentbox/internal/session"
	"agentbox/internal/workspace"
)

// measuring is how long a listing counts what agents wrote, those of the newest sessions first.
const measuring = time.Second

// addKept adds what is kept: to a live session the size of its output and its overlay, and those that have ended before
// them.
func (c *caller) addKept(live []listed) ([]listed, error) {
	_, records, err := c.records()
	if err != nil {
		return nil, err
	}
	written := measure(records)
	at := map[string]int{}
	for i, s := range live {
		at[s.ID] = i
	}
	var list []listed
	for i, k := range records {
		one := written[i]
		if l, ok := at[k.Info.ID]; ok {
			one.Info, one.Uptime, one.Ended, one.Result = live[l].Info, live[l].Uptime, nil, nil
			live[l] = one
			continue
		}
		list = append(list, one)
	}
	return append(list, live...), nil
}

// records lists what is kept of this user's sessions, oldest first.
func (c *caller) records() (root string, list []session.Kept, err error) {
	if root, err = recordsDir(); err != nil {
		return root, nil, err
	}
	if list, err = session.Records(root); err != nil {
		c.voice.warnf("%s", err)
	}
	return root, list, nil
}

// measure describes records. What is not counted when the time is over is at least what was counted.
func measure(records []session.Kept) []listed {
	list := make([]listed, len(records))
	until := time.Now().Add(measuring)
	for i, k := range slices.Backward(records) {
		one := listed{Info: k.Info, Output: k.Size, Result: k.Result, Changes: changesOf(k)}
		if !k.Ended.IsZero() {
			ended := k.Ended.UTC()
			one.Ended = &ended
		}
		if k.Workspace != "" {
			bytes, whole := session.DiskUse(k.Workspace, until, workDirs(k.Workspace)...)
			one.Written, one.More = &bytes, !whole
		}
		list[i] = one
	}
	return list
}

// workDirs are an overlay's own: empty once it is unmounted, and closed to ordinary users.
func workDirs(dir string) []string {
	return []string{workspace.LayersOf(dir).Work, workspace.LayersOf(workspace.GitState(dir)).Work}
}

// changesOf is how many changes a session left, as its result says. An apply leaves its traces in the workspace
// directory; from then on the number is not known without a review.
func changesOf(k session.Kept) *int {
	var r struct {
		Changes *workspace.Summary `json:"changes"`
		Applied *appliedResult     `json:"applied"`
	}
	st, err := os.Lstat(k.Workspace)
	if k.Workspace == "" || err != nil || st.ModTime().After(k.Ended) || json.Unmarshal(k.Result, &r) != nil || r.Changes == nil {
		return nil
	}
	if r.Applied != nil && r.Applied.Receipt != "" {
		return r.Applied.Remain
	}
	n := r.Changes.Added + r.Changes.Modified + r.Changes.Deleted + r.Changes.Renamed
	return &n
}

func allRows(list []listed) [][]string {
	rows := [][]string{{"ID", "AGE", "STATE", "CODE", "OUTPUT", "WRITTEN", "CHANGES", "PROFILE", "WORKSPACE", "COMMAND"}}
	for _, s := range list {
		state, code := s.ending()
		rows = append(rows, []string{s.ID, age(s.Started), state, code, s.outputText(), s.writtenText(), s.changesText(),
			s.Profile, s.Workspace, shorten(commandLine(s.Command), maxCommand)})
	}
	return rows
}

// ending is how a session ended, or its state.
func (s listed) ending() (state, code string) {
	var r endedResult
	if json.Unmarshal(s.Result, &r) != nil || s.State != session.Ended {
		return s.State, "-"
	}
	state, code = r.Cause, strconv.Itoa(r.ExitCode)
	if r.Limit != "" {
		state = r.Limit + " " + r.Cause
	}
	return state, code
}

func (s listed) outputText() string {
	if !s.Detached {
		return "-"
	}
	return humanize.IBytes(uint64(s.Output))
}

func (s listed) writtenText() string {
	switch {
	case s.Written == nil:
		return "-"
	case s.More:
		return "> " + humanize.IBytes(uint64(*s.Written))
	}
	return humanize.IBytes(uint64(*s.Written))
}

func (s listed) changesText() string {
	if s.Changes == nil {
		return "-"
	}
	return strconv.Itoa(*s.Changes)
}

// age is the time since then, in days where there are some.
func age(since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	const day = 24 * time.Hour
	d := time.Since(since)
	if d < 2*day {
		return seconds(d)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}
