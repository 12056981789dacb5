package boxtest

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestTerminal(t *testing.T) {
	Need(t, Tmux)
	Leftovers(t)
	a := User(t)
	term := NewTerminal(t, a, Project(t, a), 60, 12, "bash", "-c",
		`trap 'stty size' WINCH; stty size; echo "$#:$1"; while read -r line; do echo "got <$line>"; test "$line" = end && exit 3; done`,
		"bash", `one two; "three`)
	term.WaitFor("12 60", patience)
	term.WaitFor(`1:one two; "three`, patience)
	term.Type(`Enter $HOME; x`)
	term.Send("Enter")
	term.WaitFor(`got <Enter $HOME; x>`, patience)
	term.Resize(70, 20)
	term.Send("Enter")
	term.WaitFor("20 70", patience)
	term.Type("end")
	term.Send("Enter")
	if code := term.WaitExit(patience); code != 3 {
		t.Errorf("exit status %d", code)
	}
	term.WaitFor("got <end>", patience)
}

func TestTerminalTellsSignals(t *testing.T) {
	Need(t, Tmux)
	a := User(t)
	term := NewTerminal(t, a, "/", 40, 5, "sh", "-c", "kill -TERM $$")
	if code := term.WaitExit(patience); code != 128+int(unix.SIGTERM) {
		t.Errorf("exit status %d", code)
	}
}
