package workspace

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReview(t *testing.T) {
	tests := map[string]struct {
		host, agent string
		want        []string
	}{
		"nothing":                               {"echo a >a", "cat a", nil},
		"a new file":                            {"echo a >a", "echo b >b", []string{"A b"}},
		"a new directory":                       {"", "mkdir -p d/e; echo x >d/e/f", []string{"A d/", "A d/e/", "A d/e/f"}},
		"a changed file":                        {"echo a >a", "echo b >>a", []string{"M a"}},
		"a file that was touched":               {"echo a >a", "touch a", nil},
		"a mode there and back":                 {"echo a >a", "chmod 600 a; chmod 644 a", nil},
		"a file written with what it held":      {"echo a >a", "echo a >b; mv b a", nil},
		"a mode":                                {"echo a >a; mkdir d", "chmod 755 a; chmod 700 d", []string{"M a", "M d/"}},
		"an attribute":                          {"echo a >a; true", "python3 -c 'import os; os.setxattr(\"a\", \"user.y\", b\"2\")'", []string{"M a"}},
		"a file that was removed":               {"echo a >a", "rm a", []string{"D a"}},
		"a directory that was removed":          {"mkdir -p d/e; echo x >d/e/f; echo y >d/g", "rm -r d", []string{"D d/", "D d/e/", "D d/e/f", "D d/g"}},
		"behind an opaque directory":            {"mkdir -p d/e; echo x >d/e/f; echo y >d/g; echo z >d/h", "rm -r d; mkdir d; echo y >d/g; echo q >d/n", []string{"D d/e/", "D d/e/f", "D d/h", "A d/n"}},
		"deep behind an opaque directory":       {"mkdir -p d/e; echo x >d/e/f; echo y >d/e/g", "rm -r d; mkdir -p d/e; echo y >d/e/g", []string{"D d/e/f"}},
		"a renamed file":                        {"echo long enough >a", "mv a b", []string{"R b from a"}},
		"a renamed and changed file":            {"seq 20 >a", "mv a b; echo 21 >>b", []string{"R b from a"}},
		"a renamed directory":                   {"mkdir d; seq 5 >d/a; seq 6 >d/b", "mv d e", []string{"D d/", "A e/", "R e/a from d/a", "R e/b from d/b"}},
		"a copy is no rename":                   {"seq 20 >a", "cp a b", []string{"A b"}},
		"a file becomes a directory":            {"echo a >a", "rm a; mkdir a; echo b >a/b", []string{"T a/", "A a/b"}},
		"a directory becomes a file":            {"mkdir a; echo b >a/b", "rm -r a; echo a >a", []string{"T a", "D a/b"}},
		"a file becomes a link":                 {"echo a >a; echo b >b", "ln -sf b a", []string{"T a"}},
		"a link to elsewhere inside":            {"echo a >a; echo b >b; ln -s a l", "ln -sfn b l", []string{"M l"}},
		"a link that was touched":               {"ln -s a l", "touch -h l", nil},
		"a link out, absolute":                  {"", "ln -s /etc l", []string{`A l (refused: it is a link that leaves the workspace, to /etc)`}},
		"a link out, relative":                  {"mkdir d", "ln -s ../../x d/l", []string{`A d/l (refused: it is a link that leaves the workspace, to ../../x)`}},
		"a link out, by another link":           {"ln -s / r", "ln -s r/etc l", []string{`A l (refused: it is a link that leaves the workspace, to r/etc)`}},
		"a link out, by the host's, covered up": {"ln -s / r", "rm r; mkdir r; ln -s r/etc l", []string{`A l (refused: it is a link that leaves the workspace, to r/etc)`, "T r/"}},
		"a link to a name that is not there":    {"", "ln -s none l", []string{"A l"}},
		"a link up and down again":              {"mkdir -p a/b", "ln -s ../b/c a/l", []string{"A a/l"}},
		"links in a circle":                     {"", "ln -s b a; ln -s a b", []string{`A a (refused: it is a link that leaves the workspace, to b)`, `A b (refused: it is a link that leaves the workspace, to a)`}},
		"a set-id file":                         {"", "echo x >s; chmod 4755 s", []string{`A s (refused: its mode 4755 has a set-id or sticky bit)`}},
		"a FIFO":                                {"", "mkfifo p", []string{"A p (refused: it is a FIFO)"}},
		"a socket":                              {"", "python3 -c 'import socket; socket.socket(1).bind(\"s\")'", []string{"A s (refused: it is a socket)"}},
		"a huge sparse file":                    {"", "truncate -s 1T h", []string{"A h (refused: its size of 1099511627776 bytes is beyond the 17179869184 that are reviewed)"}},
		"names that are not UTF-8":              {"", "echo 1 >$'a\\xff\\n'; mkdir -- $'-\\e[2K'; echo 2 >$'-\\e[2K/\"'", []string{`A "-\033[2K"/`, `A "-\033[2K/\""`, `A "a\377\n"`}},
		"hard links":                            {"echo a >a; ln a b", "echo c >>a", []string{"M a"}},
		"a name that apply uses":                {"", "mkdir .agentbox-apply-1", []string{"A .agentbox-apply-1/ (refused: its name is one that apply uses)"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fixtures(t, func(t *testing.T, x *fixture) {
				x.host(test.host)
				x.agent(test.agent)
				if diff := cmp.Diff(test.want, lines(x.review())); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}
