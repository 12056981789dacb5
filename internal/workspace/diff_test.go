package workspace

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/internal/boxtest"
)

// diff gives the review's diff.
func (x *fixture) diff() string {
	x.t.Helper()
	w := x.open()
	r, err := w.Review(context.Background())
	if err != nil {
		x.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := w.Diff(&out, r); err != nil {
		x.t.Fatal(err)
	}
	return out.String()
}

func TestDiff(t *testing.T) {
	tests := map[string]struct{ host, agent, want string }{
		"a changed line": {"printf '1\\n2\\n' >a", "printf '1\\n3\\n' >a", `diff --git a/a b/a
index 1191247..2b2f2e1 100644
--- a/a
+++ b/a
@@ -1,2 +1,2 @@
 1
-2
+3
`},
		"a new file, an empty one and an empty directory": {"", "printf x >a; : >e; mkdir d", `diff --git a/a b/a
new file mode 100644
index 0000000..c1b0730
--- /dev/null
+++ b/a
@@ -0,0 +1 @@
+x
\ No newline at end of file
diff --git a/d b/d
new directory mode 040755
diff --git a/e b/e
new file mode 100644
index 0000000..e69de29
`},
		"a file that goes": {"echo x >a", "rm a", `diff --git a/a b/a
deleted file mode 100644
index 587be6b..0000000
--- a/a
+++ /dev/null
@@ -1 +0,0 @@
-x
`},
		"a rename and a mode": {"seq 9 >a", "mv a b; chmod 755 b", `diff --git a/a b/b
old mode 100644
new mode 100755
similarity index 100%
rename from a
rename to b
`},
		"permissions that git does not know": {"echo x >a", "chmod 600 a", "diff --git a/a b/a\nold mode 100644\nnew mode 100600\n"},
		"binary": {"", "printf 'a\\0b' >a", `diff --git a/a b/a
new file mode 100644
index 0000000..20b5be9
Binary files /dev/null and b/a differ
`},
		"a link": {"ln -s a l", "ln -sfn b l", `diff --git a/l b/l
index 2e65efe..63d8dbd 120000
--- a/l
+++ b/l
@@ -1 +1 @@
-a
\ No newline at end of file
+b
\ No newline at end of file
`},
		"a file that becomes a link": {"echo x >a", "ln -sf x a", `diff --git a/a b/a
deleted file mode 100644
index 587be6b..0000000
--- a/a
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/a b/a
new file mode 120000
index 0000000..c1b0730
--- /dev/null
+++ b/a
@@ -0,0 +1 @@
+x
\ No newline at end of file
`},
		"names are quoted as git does": {"", "echo x >$'\\e[2K \\xff\"'; : >'a b'", `diff --git "a/\033[2K \377\"" "b/\033[2K \377\""
new file mode 100644
index 0000000..587be6b
--- /dev/null
+++ "b/\033[2K \377\""
@@ -0,0 +1 @@
+x
diff --git a/a b b/a b
new file mode 100644
index 0000000..e69de29
`},
		"what is refused is named": {"", "mkfifo p", "diff --git a/p b/p\nnew file mode special 0644\nFiles /dev/null and b/p differ (not shown: refused: it is a FIFO)\n"},
		"a huge text":              {"", "head -c 9000000 /dev/zero | tr '\\0' a >h", "diff --git a/h b/h\nnew file mode 100644\nFiles /dev/null and b/h differ (not shown: longer than 8 MiB)\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.host(test.host)
			x.agent(test.agent)
			if diff := cmp.Diff(test.want, x.diff()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsMaskedIsNotShown(t *testing.T) {
	x := newFixture(t, Trusted)
	x.rules.Masked = func(name string, _ bool) (string, bool) { return "workspace.mask[0]", name == ".env" }
	x.host("echo SECRET >.env; echo a >a")
	x.agent("echo mine >.env; mv a b; cp .env copy")
	if text := x.diff(); strings.Contains(text, "SECRET") || !strings.Contains(text, "masked by workspace.mask[0]") {
		t.Error(text)
	}
	var out bytes.Buffer
	w := x.open()
	r, err := w.Review(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	omitted, err := w.Patch(&out, r)
	if err != nil || strings.Contains(out.String(), "SECRET") || len(omitted) != 1 || omitted[0].Path != ".env" {
		t.Errorf("%+v, %v\n%s", omitted, err, out.String())
	}
}

func TestGitAppliesThePatch(t *testing.T) {
	boxtest.Need(t, boxtest.Git)
	tests := map[string]struct{ host, agent string }{
		"texts":                           {"seq 50 >a; seq 9 >b; printf x >c; mkdir d; echo y >d/y", "sed -i '3d;40s/$/x/' a; rm b; printf xy >c; mkdir -p n/o; seq 5 >n/o/p; : >e; rm d/y"},
		"binaries":                        {"head -c 3000 /dev/urandom >a; head -c 100 /dev/urandom >b", "printf '\\0x' >>a; rm b; head -c 5000 /dev/urandom >n; printf '\\0' >one"},
		"modes":                           {"echo x >a; echo y >b; chmod 755 b", "chmod 755 a; chmod 644 b; echo z >>b"},
		"renames":                         {"seq 50 >a; seq 9 >b", "mv a z; echo more >>z; mkdir d; mv b d/b"},
		"links":                           {"echo x >a; ln -s a l; echo f >f", "ln -sfn b l; ln -sf l f; rm a; ln -s f a"},
		"a directory that becomes a file": {"mkdir a; echo x >a/x; echo y >b", "rm -r a; echo a >a; rm b; mkdir b; echo z >b/z"},
		"names":                           {"echo 1 >$'a\\xff\\n'; echo 1 >'a b'; echo 2 >$'tab\\t'", "echo 2 >>$'a\\xff\\n'; mv 'a b' $'c \\e d'; echo 1 >' x '; echo '\"' >'\"'; echo 3 >>$'tab\\t'"},
		"no line feeds":                   {"printf 'a\\nb' >a; printf 'a\\n' >b", "printf 'a\\nc' >a; printf 'a' >b"},
		"carriage feeds":                  {"printf 'a\\r\\nb\\r\\n' >a", "printf 'a\\r\\nc\\r\\n\\f\\v' >a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, Trusted)
			x.host(test.host)
			x.agent(test.agent)
			w := x.open()
			r, err := w.Review(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			patch := filepath.Join(x.dir, "patch")
			f, err := os.Create(patch)
			if err != nil {
				t.Fatal(err)
			}
			omitted, err := w.Patch(f, r)
			if f.Close(); err != nil || len(omitted) > 0 {
				t.Fatalf("%+v, %v", omitted, err)
			}
			cmd := exec.Command("git", "apply", patch)
			cmd.Dir = x.lower
			cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+x.dir, "GIT_CONFIG_GLOBAL=/dev/null")
			x.run(cmd)
			if diff := cmp.Diff(gitView(x.seen()), gitView(x.project())); diff != "" {
				text, _ := os.ReadFile(patch)
				t.Errorf("%s\n%s", diff, text)
			}
		})
	}
}

// gitView leaves out what git does not keep: directories and times.
func gitView(tree []string) []string {
	var out []string
	for _, line := range tree {
		if i := strings.LastIndexByte(line, ' '); strings.Contains(line, " -> ") {
			out = append(out, line)
		} else if i > 0 && !strings.Contains(line, " d") {
			out = append(out, line[:i])
		}
	}
	return out
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":           "plain\ttext\n",
		"ä 文 😀":                   "ä 文 😀",
		"\x1b]52;c;YQ==\a":        `\x1b]52;c;YQ==\x07`,
		"a\rb\x7f\x00":            `a\x0db\x7f\x00`,
		"\u009b2K\u202egnp\u200b": `\u009b2K\u202egnp\u200b`,
		"\xff\xc3(":               `\xff\xc3(`,
		"cut \xe6\x96":            `cut \xe6\x96`,
		"\U000e0041":              `\U000e0041`,
	} {
		for size := 1; size <= len(in); size++ {
			var out bytes.Buffer
			v := Visible(&out)
			for part := range bytes.SplitSeq([]byte(in), nil) {
				v.Write(part)
			}
			v.Close()
			if out.String() != want {
				t.Errorf("%q: %q, want %q", in, out.String(), want)
			}
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add([]byte("a\x1b[2K\xe6"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var whole, parts bytes.Buffer
		v := Visible(&whole)
		v.Write(data)
		v.Close()
		cut = max(0, min(cut, len(data)))
		v = Visible(&parts)
		v.Write(data[:cut])
		v.Write(data[cut:])
		v.Close()
		if whole.String() != parts.String() {
			t.Fatalf("%q and %q", whole.String(), parts.String())
		}
		for _, c := range whole.Bytes() {
			if c < 0x20 && c != '\n' && c != '\t' || c == 0x7f {
				t.Fatalf("%q gets through", c)
			}
		}
	})
}
