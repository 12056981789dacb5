package audit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// crashEnv makes the test program a writer that goes on until it is killed.
const crashEnv = "AGENTBOX_TEST_AUDIT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		if last := os.Getenv(stepEnv); last != "" {
			os.Exit(dieAt(dir, os.Getenv(deedEnv), last))
		}
		fmt.Println(writeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver says how many records there are whenever it knows that to be killed does not take them back.
func writeForEver(dir string) error {
	l, err := Create(dir, Options{Session: "s1", Key: key()})
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		e := &Exec{UID: n, Argv: Texts([]string{"sh", "-c", "echo"})}
		how := (*Log).Append
		switch n % 100 {
		case 0:
			how = (*Log).Commit
		case 50:
			how = (*Log).Through
		}
		if err = how(l, e); err == nil && n%50 == 0 {
			_, err = fmt.Println(n)
		}
		if err != nil {
			return err
		}
	}
}

// A supervisor that is killed with SIGKILL leaves a log that has what it committed and what had left it, and of which the rest is whole, too.
func TestKilledWriter(t *testing.T) {
	for round := range 5 {
		dir := t.TempDir()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), crashEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		committed := uint64(0)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatal(lines.Text())
			}
			if committed = n; n == uint64(round+1)*650 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		data, err := os.ReadFile(Path(dir, "s1"))
		if err != nil {
			t.Fatal(err)
		}
		if r := verify(t, data, Expected{Key: publicKey()}); r.Verdict != Unsealed || r.Records < committed || committed < 650 {
			t.Errorf("%d were committed: %v", committed, r)
		}
	}
}
