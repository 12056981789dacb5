package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// numbered are the lines that seq(1) writes.
func numbered(lines int) string {
	var b strings.Builder
	for n := range lines {
		fmt.Fprintln(&b, n+1)
	}
	return b.String()
}

// Two large streams at once: each is whole and in its order, and none of the other.
func TestBothStreamsAreWhole(t *testing.T) {
	const lines = 1_000_000
	want := numbered(lines)
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range ways {
				r := finish(t, w.agentbox(t, how, "--", "sh", "-c", fmt.Sprintf(`seq %d & seq %d >&2; wait; exit 3`, lines, lines)))
				if r.code != 3 || r.out != want || r.err != want {
					t.Errorf("%s: ended with %d, output and errors of %d and %d bytes, not %d, or others", how, r.code, len(r.out), len(r.err), len(want))
				}
			}
		})
	}
}

// What an agent wrote before its end arrives, however late it is read.
func TestOutputIsReadLate(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			cmd := w.agentbox(t, "run", "--", "sh", "-c", `head -c 100000 /dev/zero; touch mark`)
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			until(t, "the agent is at its end", func() bool { return w.exists("mark") })
			data, err := io.ReadAll(out)
			if cmd.Wait(); err != nil || !bytes.Equal(data, make([]byte, 100000)) || cmd.ProcessState.ExitCode() != 0 {
				t.Errorf("%d bytes, %v, ended with %d", len(data), err, cmd.ProcessState.ExitCode())
			}
		})
	}
}

// Input arrives as it is written, not when a buffer is full, and so does its end.
func TestInputArrivesAtOnce(t *testing.T) {
	const script = `echo ready; while read -r x; do echo "got $x"; done; echo end; exit 4`
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.start(t, idle)
			for _, how := range ways {
				b := begin(t, w.agentbox(t, how, "--", "sh", "-c", script))
				for _, word := range []string{"a", "b"} {
					fmt.Fprintln(b.stdin, word)
					if got := b.line(t); got != "got "+word {
						t.Errorf("%s: %q", how, got)
					}
				}
				b.stdin.Close()
				if got, code := b.line(t), b.end(); got != "end" || code != 4 {
					t.Errorf("%s: %q, ended with %d", how, got, code)
				}
			}
		})
	}
}

// Each row is a shell's command line around an agent, A, and what it says, in a box
// and without one.
func TestStreamsInAShell(t *testing.T) {
	const codes = `; echo ${PIPESTATUS[*]}`
	table := map[string]struct{ line, want string }{
		"a reader that leaves":              {line: `A yes | head -n 1` + codes, want: "y|141 0|"},
		"a reader of errors that leaves":    {line: `A sh -c 'exec yes >&2' 2>&1 >/dev/null | head -n 1` + codes, want: "y|141 0|"},
		"an agent that leaves":              {line: `yes | A head -n 1` + codes, want: "y|141 0|"},
		"an agent that ignores the leaving": {line: `A sh -c 'trap "" PIPE; sleep 0.1; seq 100000 2>/dev/null; exit 5' | true` + codes, want: "5 0|"},
		"no input":                          {line: `A cat </dev/null; echo $?`, want: "0|"},
		"closed input":                      {line: `A true <&-; echo $?`, want: "0|"},
		"closed output":                     {line: `A sh -c 'echo x || true; exit 3' >&-; echo $?`, want: "3|"},
		"closed errors":                     {line: `A sh -c 'echo x >&2 || true; exit 3' 2>&-; echo $?`, want: "3|"},
		"everything closed":                 {line: `A sh -c 'exit 3' <&- >&- 2>&-; echo $?`, want: "3|"},
		"a box between two others":          {line: `seq 3 | A tac | A sed s/^/x/ | A tac` + codes, want: "x1|x2|x3|0 0 0 0|"},
		"a file for both":                   {line: `A sh -c 'echo o; echo e >&2; echo o' >both 2>&1; cat both`, want: "o|e|o|"},
		"a file that is added to":           {line: `echo 1 >f; A echo 2 >>f; cat f`, want: "1|2|"},
		"a file for input and output":       {line: `echo 1 >f; A sh -c 'read x; echo $x$x' <>f >&0; cat f`, want: "1|11|"},
		"a process in the background":       {line: `A sh -c 'sleep 1000 & echo x'; echo $?`, want: "x|0|"},
	}
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			for name, tc := range table {
				for _, run := range []string{"", w.bin + " run -- "} {
					if run == "" && strings.Contains(tc.line, "1000") {
						continue // nothing would end it
					}
					r := finish(t, w.Command(t, w.dir, "bash", "-c", strings.ReplaceAll(tc.line, "A ", run)))
					if got := strings.ReplaceAll(r.out, "\n", "|"); got != tc.want {
						t.Errorf("%s, by %q: %q, not %q\n%s", name, run, got, tc.want, r.err)
					}
				}
			}
		})
	}
}

// What a command leaves running in the box does not hold up exec.
func TestExecEndsWithItsCommand(t *testing.T) {
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.start(t, idle)
			b := begin(t, w.agentbox(t, "exec", "--", "sh", "-c", `echo ready; sleep 1000 & seq 10000; exit 6`))
			rest, err := io.ReadAll(b.out)
			if code := b.end(); err != nil || string(rest) != numbered(10000) || code != 6 {
				t.Errorf("%d bytes, %v, ended with %d", len(rest), err, code)
			}
		})
	}
}

// A disk that is full is not the agent's to see, because agentbox writes its output.
// So agentbox says it, and ends with a failure where the agent succeeded.
func TestOutputThatCannotBeWritten(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.start(t, idle)
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer full.Close()
			for _, how := range ways {
				for script, code := range map[string]int{`echo text`: 1, `echo text; exit 7`: 7, `exec yes`: 141, `true`: 0} {
					cmd := w.agentbox(t, how, "--", "sh", "-c", script)
					cmd.Stdout = full
					r := finish(t, cmd)
					if said := strings.Contains(r.err, "agentbox: error: ") && strings.Contains(r.err, "no space left on device"); r.code != code || said == (code == 0) {
						t.Errorf("%s %s: %+v", how, script, r)
					}
				}
			}
		})
	}
}
