package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// maskedStarts times `/bin/true` in projects with masked files, where the project is written and where it is an overlay.
func maskedStarts(c caller, box string, n, most int) (list []Masked, skipped []string, err error) {
	dir := filepath.Join(filepath.Dir(c.project), "masked")
	defer os.RemoveAll(dir)
	var field []contestant
	for _, count := range []int{0, min(100, most), most} {
		project := filepath.Join(dir, fmt.Sprint(count))
		if err := hide(project, count); err != nil {
			return nil, nil, err
		}
		if err := c.own(dir); err != nil {
			return nil, nil, err
		}
		for _, mode := range []string{"rw", "overlay"} {
			x := contestant{tool: mode, caller: c, run: (*exec.Cmd).Run, start: func(int) *exec.Cmd {
				cmd := c.command(box, "run", "--mode", mode, "--", "/bin/true")
				cmd.Dir = project
				return cmd
			}}
			if err := x.warmUp(); err != nil {
				skipped = append(skipped, fmt.Sprintf("mode %s with %d masked files: %v", mode, count, err))
				continue
			}
			field, list = append(field, x), append(list, Masked{Mode: mode, Masked: count})
		}
	}
	times := make([][]float64, len(field))
	for i := range n {
		for k := range field {
			at := (i + k) % len(field)
			cmd := field[at].start(i)
			begin := time.Now()
			if err := field[at].run(cmd); err != nil {
				return nil, nil, fmt.Errorf("mode %s with %d masked files: %w", list[at].Mode, list[at].Masked, err)
			}
			times[at] = append(times[at], float64(time.Since(begin).Microseconds())/1000)
		}
	}
	none := map[string]float64{}
	for i := range list {
		list[i].Median, list[i].Min = quantile(times[i], 0.5), quantile(times[i], 0)
		if list[i].Masked == 0 {
			none[list[i].Mode] = list[i].Median
		}
		list[i].Ratio = ratio(list[i].Median, none[list[i].Mode])
	}
	return list, skipped, nil
}

// hide makes files with a name that every preset masks.
func hide(project string, count int) error {
	if err := os.MkdirAll(project, 0o755); err != nil {
		return err
	}
	for i := range count {
		name := filepath.Join(project, fmt.Sprintf("d%02d/k%05d.pem", i%100, i))
		if i < 100 {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(name, []byte("hidden\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}
