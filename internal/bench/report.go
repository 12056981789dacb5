package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A Machine is where a run was made, and with which versions.
type Machine struct {
	Kernel     string            `json:"kernel"`
	Processors int               `json:"processors"`
	Model      string            `json:"model"`
	MemoryMiB  uint64            `json:"memory_mib"`
	Go         string            `json:"go"`
	Versions   map[string]string `json:"versions"`
}

// A Budget is one row of what the project allows itself.
type Budget struct {
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Must    float64 `json:"must"`
	Aim     float64 `json:"aim"`
	Unit    string  `json:"unit"`
	Verdict string  `json:"verdict"` // "ok", "over", or "aim" when the aim is met, too
	Least   bool    `json:"least"`   // it is met by more, and not by less
}

func describe(box string) Machine {
	m := Machine{Processors: runtime.NumCPU(), Go: runtime.Version(), Versions: map[string]string{}}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryMiB = uint64(info.Totalram) * uint64(info.Unit) >> 20
	}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := bytes.Cut(data, []byte("model name"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		m.Model = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(line)), ":"))
	}
	for tool, args := range map[string][]string{"agentbox": {box, "version"}, "bwrap": {"bwrap", "--version"}, "runc": {"runc", "--version"}, "crun": {"crun", "--version"}} {
		if out, err := exec.Command(args[0], args[1:]...).Output(); err == nil {
			line, _, _ := strings.Cut(string(out), "\n")
			m.Versions[tool] = strings.TrimSpace(line)
		}
	}
	return m
}

// budgets compares what was measured with what the project allows itself; what was not measured has no row.
func budgets(r Report) []Budget {
	var list []Budget
	add := func(what string, value, must, aim float64, unit string) {
		if value == 0 {
			return
		}
		verdict := "over"
		switch {
		case value <= aim:
			verdict = "aim"
		case value <= must:
			verdict = "ok"
		}
		list = append(list, Budget{What: what, Value: value, Must: must, Aim: aim, Unit: unit, Verdict: verdict})
	}
	// least is a budget that is met by more.
	least := func(what string, value, must, aim float64, unit string) {
		verdict := "over"
		switch {
		case value >= aim:
			verdict = "aim"
		case value >= must:
			verdict = "ok"
		}
		list = append(list, Budget{What: what, Value: value, Must: must, Aim: aim, Unit: unit, Verdict: verdict, Least: true})
	}
	for _, s := range r.Startups {
		if s.Tool == "agentbox" {
			add("start-up as "+s.Caller+", to bwrap", s.Bwrap, 4.5, 2, "×")
			add("start-up as "+s.Caller+", to runc", s.Runc, 0.8, 0.4, "×")
		}
	}
	for _, i := range r.Inside {
		if !strings.HasPrefix(i.Operation, "write") && i.Operation != walkName {
			add(i.Operation+", inside to outside", i.Ratio, 1.10, 1.03, "×")
		}
	}
	for _, x := range r.Recorded {
		add("fork+exec as "+x.Caller+", on the record to not", x.Ratio, 1.3, 1.1, "×")
	}
	for _, x := range r.Changes {
		if x.Command == "agentbox diff --stat" && x.Changed == 10 {
			add(fmt.Sprintf("diff of 10 of %d files", x.Files), x.Median, 20, 20, " ms")
		}
	}
	for _, w := range r.Ways {
		if w.ToDirect != 0 && strings.HasPrefix(w.Name, "agentbox") {
			least("one stream to direct, "+w.Name, w.ToDirect, 0.5, 0.9, "×")
		}
	}
	for _, x := range r.Readings {
		if x.Name == inspected {
			add("added to a warm request that is read", x.Added/1e3, 300, 100, " µs")
		}
	}
	if r.Hook > 0 {
		add("answer to a tool call", r.Hook, 15, 15, " ms")
	}
	const mib = 1 << 20
	add("memory of the supervisor, idle box", float64(r.RSS)/mib, 25, 12, " MiB")
	add("binary", float64(r.Binary)/1e6, 25, 15, " MB")
	return list
}

func markdown(out io.Writer, r Report) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Linux %s, %d × %s, %d MiB; %s", m.Kernel, m.Processors, m.Model, m.MemoryMiB, m.Go)
	for _, tool := range []string{"agentbox", "bwrap", "runc", "crun"} {
		if v := m.Versions[tool]; v != "" {
			fmt.Fprintf(&b, "; %s", v)
		}
	}
	fmt.Fprintf(&b, ". Medians of %d interleaved starts, of %d rounds inside.\n\n", r.Options.Starts, r.Options.Rounds)
	b.WriteString("| /bin/true in a box | as | median | min | p90 | to bwrap | to runc |\n|---|---|---|---|---|---|---|\n")
	for _, s := range r.Startups {
		fmt.Fprintf(&b, "| %s | %s | %.1f ms | %.1f | %.1f | %s | %s |\n", s.Tool, s.Caller, s.Median, s.Min, s.P90, times(s.Bwrap), times(s.Runc))
	}
	b.WriteString("\n| operation | outside | inside | ratio |\n|---|---|---|---|\n")
	for _, i := range r.Inside {
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f× |\n", i.Operation, duration(i.OutsideNS), duration(i.InsideNS), i.Ratio)
	}
	if len(r.Crowds) > 0 {
		b.WriteString("\n| idle boxes | starts per second | memory per box | supervisor, resident | shared pages divided | ending all |\n|---|---|---|---|---|---|\n")
	}
	for _, c := range r.Crowds {
		fmt.Fprintf(&b, "| %d of %s | %.0f | %.1f MiB | %.1f MiB | %.1f MiB | %.0f ms |\n", c.Boxes, c.Tool, c.PerSecond, c.BoxMiB, c.SuperMiB, c.SuperPSS, c.EndMillis)
	}
	workspaceTables(&b, r)
	networkTable(&b, r)
	inspectionTable(&b, r)
	b.WriteString("\n| budget | measured | must | aim | |\n|---|---|---|---|---|\n")
	for _, x := range r.Budgets {
		than := "≤"
		if x.Least {
			than = "≥"
		}
		fmt.Fprintf(&b, "| %s | %.2f%s | %s %g | %[4]s %[6]g | %[7]s |\n", x.What, x.Value, x.Unit, than, x.Must, x.Aim, x.Verdict)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "\nNot measured: %s\n", s)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func workspaceTables(b *strings.Builder, r Report) {
	if len(r.Masked) > 0 {
		b.WriteString("\n| /bin/true in a box | masked files | median | min | to none |\n|---|---|---|---|---|\n")
	}
	for _, m := range r.Masked {
		fmt.Fprintf(b, "| mode %s | %d | %.1f ms | %.1f | %s |\n", m.Mode, m.Masked, m.Median, m.Min, times(m.Ratio))
	}
	if len(r.Changes) > 0 {
		b.WriteString("\n| on a workspace | changed files | rounds | median | min | agentbox to it |\n|---|---|---|---|---|---|\n")
	}
	for _, x := range r.Changes {
		fmt.Fprintf(b, "| %s | %d of %d | %d | %.1f ms | %.1f | %s |\n", x.Command, x.Changed, x.Files, x.Rounds, x.Median, x.Min, times(x.Ratio))
	}
}

func networkTable(b *strings.Builder, r Report) {
	if len(r.Ways) > 0 {
		b.WriteString("\n| to a server of this host | down | up | down, to direct | short connections | first byte | processor per GiB | resident |\n|---|---|---|---|---|---|---|---|\n")
	}
	for _, w := range r.Ways {
		cpu, rss := "–", "–"
		if w.RSS > 0 {
			cpu, rss = fmt.Sprintf("%.2f s", w.CPU), fmt.Sprintf("%d MiB", w.RSS>>20)
		}
		fmt.Fprintf(b, "| %s | %.0f MiB/s | %.0f MiB/s | %s | %.0f/s | %s | %s | %s |\n", w.Name, w.Down, w.Up, times(w.ToDirect), w.Rate, duration(w.First), cpu, rss)
	}
}

func inspectionTable(b *strings.Builder, r Report) {
	if len(r.Readings) > 0 {
		b.WriteString("\n| to a TLS server of this host | warm, HTTP/1.1 | warm, HTTP/2 | added | cold | first event | requests, 32 at a time |\n|---|---|---|---|---|---|---|\n")
	}
	for _, x := range r.Readings {
		added, event := "–", "not while it goes on"
		if x.Added != 0 {
			added = duration(x.Added)
		}
		if x.Event != 0 {
			event = duration(x.Event)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %.0f/s |\n", x.Name, duration(x.Warm1), duration(x.Warm2), added, duration(x.Cold), event, x.Many)
	}
}

func times(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f×", x)
}

func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return fmt.Sprintf("%.2f ms", ns/1e6)
	case ns >= 1e3:
		return fmt.Sprintf("%.2f µs", ns/1e3)
	}
	return fmt.Sprintf("%.0f ns", ns)
}
