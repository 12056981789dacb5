package cli

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/session"
)

func TestPruneChooses(t *testing.T) {
	now := time.Unix(1e9, 0)
	kept := func(id, state, workspace string, days int) session.Kept {
		return session.Kept{Info: session.Info{ID: id, State: state}, Workspace: workspace, Ended: now.AddDate(0, 0, -days)}
	}
	records := []session.Kept{
		kept("00d000000000", session.Ended, "", 40),
		kept("00dchanges00", session.Ended, "/w", 40),
		kept("0kxxed000000", session.Lost, "", 40),
		kept("0nreadab0000", session.Unreadable, "/w", 40),
		kept("0yng00000000", session.Ended, "", 10),
		kept("0yngchange00", session.Ended, "/w", 10),
		{Info: session.Info{ID: "0rxns0000000", State: session.Running}, Workspace: "/w"},
	}
	const month = 30 * 24 * time.Hour
	for name, tt := range map[string]struct {
		o       pruneOptions
		want    []string
		waiting int
	}{
		"what is old and undisputed":          {pruneOptions{olderThan: month}, []string{"00d000000000", "0kxxed000000"}, 2},
		"with changes, all that is old":       {pruneOptions{olderThan: month, changes: true}, []string{"00d000000000", "00dchanges00", "0kxxed000000", "0nreadab0000"}, 0},
		"nothing is that old":                 {pruneOptions{olderThan: 2 * month}, nil, 0},
		"--all is whatever has ended":         {pruneOptions{all: true, olderThan: month}, []string{"00d000000000", "0kxxed000000", "0yng00000000"}, 3},
		"what is named, whatever its age":     {pruneOptions{ids: []string{"0yng0"}, olderThan: month}, []string{"0yng00000000"}, 0},
		"what is named twice is chosen once":  {pruneOptions{ids: []string{"0yng0", "0yng00000000"}}, []string{"0yng00000000"}, 0},
		"what is named, with its changes":     {pruneOptions{ids: []string{"0yngc"}, changes: true}, []string{"0yngchange00"}, 0},
		"a named one that runs is refused":    {pruneOptions{ids: []string{"0rxn"}, changes: true}, nil, 0},
		"a named one with changes is refused": {pruneOptions{ids: []string{"0yngc"}}, nil, 0},
		"an ID of several is refused":         {pruneOptions{ids: []string{"0yng"}}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, waiting, err := tt.o.choose(records, now)
			var got []string
			for _, k := range chosen {
				got = append(got, k.Info.ID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || waiting != tt.waiting || len(tt.o.ids) > 0 && (err == nil) != (len(tt.want) > 0) {
				t.Errorf("%d wait, %v; -want +got:\n%s", waiting, err, diff)
			}
		})
	}
}
