package session

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

func TestStartTicks(t *testing.T) {
	tail := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n"
	for name, tc := range map[string]struct {
		stat string
		want uint64
		bad  bool
	}{
		"a plain name":             {stat: "1 (init)" + tail, want: 4711},
		"a name with a forged end": {stat: "1 (a) S 1 1 1) (b)" + tail, want: 4711},
		"too few fields":           {stat: "1 (init) S 1 2", bad: true},
		"no name":                  {stat: "1 2 3", bad: true},
		"empty":                    {bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStartTicks([]byte(tc.stat))
			if got != tc.want || (err != nil) != tc.bad {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestOpenProcessRefusesStrangers(t *testing.T) {
	ticks, err := StartTicks(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := OpenProcess(os.Getpid(), ticks)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := OpenProcess(os.Getpid(), ticks-1); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("another process with the same number: %v", err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenProcess(cmd.Process.Pid, ticks); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a process that ended: %v", err)
	}
}
