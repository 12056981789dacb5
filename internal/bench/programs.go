package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A Recorded is what it costs a caller's agent to start a program when every program is on the record.
type Recorded struct {
	Caller    string  `json:"caller"`
	WithoutNS float64 `json:"without_ns"`
	WithNS    float64 `json:"with_ns"`
	Ratio     float64 `json:"ratio"`
}

// recordProfile writes a profile with or without the record of programs.
func recordProfile(c caller, exec bool) (string, error) {
	file := filepath.Join(filepath.Dir(c.project), fmt.Sprintf("programs-%t.toml", exec))
	return file, os.WriteFile(file, fmt.Appendf(nil, "schema = 1\nextends = [\"default\"]\naudit.exec = %t\n", exec), 0o644)
}

// recordedStarts alternates between a box whose programs are on the record and one whose are not.
func recordedStarts(c caller, box string) (r Recorded, err error) {
	exe, err := os.Executable()
	if err != nil {
		return r, err
	}
	if err := copyProgram(exe, filepath.Join(c.project, "worker")); err != nil {
		return r, err
	}
	var pair [2]*worker
	for i, exec := range []bool{false, true} {
		profile, err := recordProfile(c, exec)
		if err != nil {
			return r, err
		}
		defer os.Remove(profile)
		if pair[i], err = startWorker(c.command(box, "run", "-p", profile, "--", "./worker", workerWord)); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, pair[i].stop()) }()
	}
	without, with, err := alternate(pair[0], pair[1], 0)
	return Recorded{c.kind, without, with, ratio(with, without)}, err
}
