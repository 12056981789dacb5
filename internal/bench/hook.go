package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// hookWord makes this program ask the hook of the box that it runs in.
const hookWord = "ask-the-hook"

// askHook prints the median of so many questions, from the start of the hook's process to its end, in nanoseconds.
func askHook(n int, out io.Writer) int {
	const event = `{"session_id":"s","hook_event_name":"PreToolUse","cwd":"/","tool_name":"Bash","tool_use_id":"%d","tool_input":{"command":"cd src && go test ./... 2>&1 | tail -20"}}`
	var all []float64
	for i := range n {
		cmd := exec.Command("/.agentbox", "hook")
		cmd.Stdin = strings.NewReader(fmt.Sprintf(event, i))
		begin := time.Now()
		answer, err := cmd.Output()
		if err != nil || !strings.Contains(string(answer), `"allow"`) {
			fmt.Fprintf(os.Stderr, "the hook says %q: %v\n", answer, err)
			return 1
		}
		all = append(all, float64(time.Since(begin).Nanoseconds()))
	}
	fmt.Fprintln(out, quantile(all, 0.5))
	return 0
}

// hookLatency is how long an agent waits for the answer to one tool call, in milliseconds.
func hookLatency(c caller, box string, n int) (float64, error) {
	profile := filepath.Join(filepath.Dir(c.project), "hook.toml")
	const text = "schema = 1\nextends = [\"default\"]\nagent.kind = \"claude\"\npermissions.allow = [\"Bash\"]\npermissions.deny = [\"Bash(git push:*)\"]\naudit.exec = true\n"
	if err := os.WriteFile(profile, []byte(text), 0o644); err != nil {
		return 0, err
	}
	defer os.Remove(profile)
	out, err := c.command(box, "run", "-p", profile, "--", "./worker", hookWord, fmt.Sprint(max(20, 5*n))).Output()
	if err != nil {
		return 0, err
	}
	var ns float64
	_, err = fmt.Sscan(string(out), &ns)
	return ns / 1e6, err
}
