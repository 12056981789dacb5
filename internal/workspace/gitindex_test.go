package workspace

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Git writes its index anew when it only looks. That is neither a change of the agent's nor a conflict with the host's;
// what is staged is.
func TestAnIndexThatGitWroteAnew(t *testing.T) {
	for name, tc := range map[string]struct {
		host, agent string
		want        string // of the index in the review
	}{
		"the agent looks":                         {"", "touch -d 2001-01-01 f; git status", ""},
		"the agent stages":                        {"", "echo 2 >f; git add f", "modified"},
		"the agent stages, the host looks":        {"touch -d 2001-01-01 f; git status", "echo 2 >f; git add f", "modified"},
		"the agent stages, the host stages":       {"echo 3 >g; git add g", "echo 2 >f; git add f", "conflict"},
		"the agent looks, the host looks as well": {"touch -d 2001-01-01 f; git status", "touch -d 2001-01-01 f; git status", ""},
	} {
		t.Run(name, func(t *testing.T) {
			session, project := t.TempDir(), t.TempDir()
			run := func(dir, script string) {
				t.Helper()
				cmd := exec.Command("sh", "-ec", script)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=n", "GIT_AUTHOR_EMAIL=e", "GIT_COMMITTER_NAME=n", "GIT_COMMITTER_EMAIL=e")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", script, err, out)
				}
			}
			run(project, "git init -q; echo 1 >f; echo 1 >g; git add .; git commit -qm x")
			layers, err := Begin(session, project, User)
			if err == nil {
				err = Persist(session)
			}
			if err != nil {
				t.Fatal(err)
			}
			agent := filepath.Join(t.TempDir(), "seen") // a copy stands for what an overlay would show
			run(".", "cp -a "+project+" "+agent)
			run(agent, tc.agent)
			run(layers.Upper, "mkdir .git && cp "+agent+"/.git/index .git/index")
			if tc.host != "" {
				run(project, tc.host)
			}
			c, err := Load(session)
			if err != nil {
				t.Fatal(err)
			}
			w, err := Open(c)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			r, err := w.Review(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, ch := range r.Changes {
				if strings.HasSuffix(ch.Path, "index") {
					if got = string(ch.Kind); ch.Conflict != "" {
						got = "conflict"
					}
				}
			}
			if got != tc.want {
				t.Errorf("the index is %q, want %q", got, tc.want)
			}
		})
	}
}
