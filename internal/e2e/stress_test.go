package e2e

import (
	"os"
	"sync"
	"testing"

	"agentbox/internal/boxtest"
)

func TestHundredStartsAtOnce(t *testing.T) {
	const boxes = 100
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			results := make([]result, boxes)
			var all sync.WaitGroup
			for i := range boxes {
				cmd := w.agentbox(t, "run", "--", "sh", "-c", "exit 7")
				all.Go(func() { results[i] = finish(t, cmd) })
			}
			all.Wait()
			for _, r := range results {
				if r.code != 7 || r.err != "" {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// With AGENTBOX_TEST_LONG a thousand.
func TestManyStartsInARow(t *testing.T) {
	starts := 300
	if os.Getenv("AGENTBOX_TEST_LONG") != "" {
		starts = 1000
	}
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			for i := range starts {
				if r := w.sh(t, "exit 7"); r.code != 7 || r.err != "" {
					t.Fatalf("start %d: %+v", i, r)
				}
			}
		})
	}
}
