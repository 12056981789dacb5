package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	tests := map[string]struct {
		list []float64
		q    float64
		want float64
	}{
		"nothing":                  {nil, 0.5, 0},
		"the middle of three":      {[]float64{3, 1, 2}, 0.5, 2},
		"the smallest":             {[]float64{3, 1, 2}, 0, 1},
		"the largest":              {[]float64{3, 1, 2}, 1, 3},
		"nine tenths of ten":       {[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0.9, 9},
		"the list keeps its order": {[]float64{9, 1}, 0, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := quantile(tt.list, tt.q); got != tt.want {
				t.Errorf("quantile(%v, %v) = %v, want %v", tt.list, tt.q, got, tt.want)
			}
		})
	}
}

func TestBudgets(t *testing.T) {
	r := Report{
		Startups: []Startup{{Caller: "root", Tool: "agentbox", Bwrap: 3, Runc: 0.9}, {Caller: "root", Tool: "bwrap", Bwrap: 1}},
		Inside:   []Inside{{Operation: "stat", Ratio: 1.01}, {Operation: "write of 128 bytes", Ratio: 2}},
	}
	want := map[string]string{
		"start-up as root, to bwrap": "ok",
		"start-up as root, to runc":  "over",
		"stat, inside to outside":    "aim",
	}
	got := map[string]string{}
	for _, b := range budgets(r) {
		got[b.What] = b.Verdict
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWorkerRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Chdir(t.TempDir())
	var out bytes.Buffer
	if code := work(strings.NewReader("99\n"), &out); code != 1 || out.Len() != 0 {
		t.Errorf("exit %d, output %q; want 1 and none", code, out.String())
	}
}

func TestChangedFilesAreAsManyAsTold(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := growTree(".", 250); err != nil {
		t.Fatal(err)
	}
	if err := changeFiles([]string{"250", "10", "7"}); err != nil {
		t.Fatal(err)
	}
	changed := 0
	for i := range 250 {
		data, err := os.ReadFile(fileName(i))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasSuffix(data, []byte("\nchanged in round 7\n")) {
			changed++
		}
	}
	if changed != 10 {
		t.Errorf("%d files were changed, want 10", changed)
	}
}
