package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// changeWord makes this program an agent that changes files of the tree that it is started in.
const changeWord = "change"

// filesPerDir is how many files a directory of a tree has.
const filesPerDir = 100

// A Change is the time of one command on a tree in which some files were changed.
type Change struct {
	Command string  `json:"command"`
	Changed int     `json:"changed"`
	Files   int     `json:"files"`
	Rounds  int     `json:"rounds"`
	Median  float64 `json:"median_ms"`
	Min     float64 `json:"min_ms"`
	Ratio   float64 `json:"agentbox_to_it,omitempty"` // of agentbox's own command for the same
}

// A Masked is the start of a box on a project with masked files.
type Masked struct {
	Mode   string  `json:"mode"`
	Masked int     `json:"masked"`
	Median float64 `json:"median_ms"`
	Min    float64 `json:"min_ms"`
	Ratio  float64 `json:"ratio_to_none"` // of the same mode's start without any
}

// trees are a project, of which agentbox holds the changes, a twin that has them, and a copy that rsync brings up to date.
type trees struct {
	caller
	box, worker        string
	project, twin, old string
	files              int
}

func fileName(i int) string { return fmt.Sprintf("d%04d/f%02d.txt", i/filesPerDir, i%filesPerDir) }

// changeFiles adds a line to some files, which lie evenly among all: it is told how many files there are, how many of
// them to change, and the number of the round.
func changeFiles(args []string) error {
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(args[i]); err != nil {
			return err
		}
	}
	files, changed, serial := n[0], n[1], n[2]
	for i := range changed {
		f, err := os.OpenFile(fileName(i*(files/changed)), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "changed in round %d\n", serial)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// growTree makes files of 1.8 kB each.
func growTree(dir string, files int) error {
	text := bytes.Repeat([]byte("a line of some length, as source code has it\n"), 40)
	for i := range files {
		name := filepath.Join(dir, fileName(i))
		if i%filesPerDir == 0 {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// plant makes the three trees; all of them are git workspaces with everything committed.
func plant(c caller, box, dir string, files int) (*trees, error) {
	t := &trees{caller: c, box: box, files: files, worker: filepath.Join(dir, "worker"),
		project: filepath.Join(dir, "project"), twin: filepath.Join(dir, "twin"), old: filepath.Join(dir, "old")}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(growTree(t.project, files), copyProgram(exe, t.worker), c.own(dir)); err != nil {
		return nil, err
	}
	// The box sees the program at a path of its own: the project has only what is committed.
	for _, words := range [][]string{
		{"git", "init", "-q"}, {"git", "add", "."},
		{"git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0", "commit", "-q", "-m", "all"},
		{"cp", "-a", t.project, t.twin}, {"cp", "-a", t.project, t.old},
	} {
		if _, err := t.time(t.project, nil, words...); err != nil {
			return nil, err
		}
	}
	_, err = t.time(t.twin, nil, "git", "status", "--porcelain") // the copies' index knows the originals' inodes
	return t, err
}

// time runs a command in a tree, and gives the milliseconds that it took.
func (t *trees) time(dir string, out *bytes.Buffer, words ...string) (float64, error) {
	cmd := t.command(words[0], words[1:]...)
	var said bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &said
	if out != nil {
		cmd.Stdout = out
	}
	begin := time.Now()
	err := cmd.Run()
	took := float64(time.Since(begin).Microseconds()) / 1000
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, strings.TrimSpace(said.String()))
	}
	return took, err
}

// A reading is a command that is measured in each round.
type reading struct {
	name, dir string
	words     []string
	own       int // the place of agentbox's command for the same; its own place for that one
	lines     int // that it must print for each changed file, 0 where it prints none
	times     []float64
}

func (t *trees) readings() []reading {
	list := []reading{
		{name: "agentbox diff --stat", dir: t.project, words: []string{t.box, "diff", "--stat"}, own: 0, lines: 1},
		{name: "git status --porcelain", dir: t.twin, words: []string{"git", "status", "--porcelain"}, own: 0, lines: 1},
		{name: "git diff --stat", dir: t.twin, words: []string{"git", "diff", "--stat"}, own: 0, lines: 1},
	}
	writes := []reading{{name: "agentbox apply --all", dir: t.project, words: []string{t.box, "apply", "--all"}, own: 3}}
	if rsync, err := exec.LookPath("rsync"); err == nil {
		writes = append(writes, reading{name: "rsync -a", dir: t.twin, words: []string{rsync, "-a", "--exclude=/.git", t.twin + "/", t.old + "/"}, own: 3})
	}
	return append(list, writes...)
}

// reviews makes the same changes on both sides, measures what looks at them, then what carries them over.
func (t *trees) reviews(changed, rounds int) ([]Change, error) {
	list := t.readings()
	for i := range rounds + 1 { // the first round warms up
		args := []string{t.worker, changeWord, strconv.Itoa(t.files), strconv.Itoa(changed), strconv.Itoa(changed + i)}
		boxed := append([]string{t.box, "run", "--expose", t.worker, "--"}, args...)
		_, err1 := t.time(t.project, nil, boxed...)
		_, err2 := t.time(t.twin, nil, args...)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		for _, part := range [][]reading{list[:3], list[3:]} {
			for k := range part {
				r := &part[(i+k)%len(part)]
				var out bytes.Buffer
				took, err := t.time(r.dir, &out, r.words...)
				if err == nil && r.lines > 0 && bytes.Count(out.Bytes(), []byte("\n")) < changed {
					err = fmt.Errorf("%s: %d files were changed, and it names fewer", r.name, changed)
				}
				if err != nil {
					return nil, err
				}
				if i > 0 {
					r.times = append(r.times, took)
				}
			}
		}
		// What git has to hash is this round's: all before it is committed.
		if _, err := t.time(t.twin, nil, "git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0", "commit", "-q", "-a", "-m", "round"); err != nil {
			return nil, err
		}
	}
	var out []Change
	for i, r := range list {
		one := Change{Command: r.name, Changed: changed, Files: t.files, Rounds: rounds, Median: quantile(r.times, 0.5), Min: quantile(r.times, 0)}
		if i != r.own {
			one.Ratio = ratio(quantile(list[r.own].times, 0.5), one.Median)
		}
		out = append(out, one)
	}
	return out, nil
}

// workspaces measures diff and apply beside git and rsync, with few and with many files changed.
func (r *Report) workspaces(c caller, box string, files int) error {
	dir := filepath.Join(filepath.Dir(c.project), "workspace")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t, err := plant(c, box, dir, files)
	if err != nil {
		return err
	}
	if len(t.readings()) < 5 {
		r.Skipped = append(r.Skipped, "rsync: it is not installed")
	}
	for _, part := range []struct{ changed, rounds int }{{10, 9}, {max(10, files/10), 3}} {
		list, err := t.reviews(part.changed, part.rounds)
		if err != nil {
			// An overlay's own directory has no permissions: whoever is not root can only remove it through agentbox.
			_, _ = t.time(t.project, nil, t.box, "discard", "--yes") // there may be none
			return err
		}
		r.Changes = append(r.Changes, list...)
	}
	return nil
}
