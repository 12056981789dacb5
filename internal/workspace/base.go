package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// A Base knows what a file was before both sides changed it.
type Base interface {
	// Blob gives the content of a path of the workspace; nil without an error
	// means that there is none.
	Blob(path string) ([]byte, error)
}

// maxText is the size of the largest text that is compared line by line.
const maxText = 8 << 20

// GitBase takes the base from the commit that was checked out just before the
// session began, as the reflog tells. An older base is as good, a newer one is not:
// the host's changes would be in it, and would look like ones to take back. So
// there is no base where there is no reflog. Git runs outside the workspace and is
// given nothing of the workspace's configuration that starts a program.
type GitBase struct {
	Program string // git, by a path that no workspace can change
	Dir     string // the workspace
	Began   time.Time
}

// Blob implements Base. No repository, no commit and no such file are all none.
func (g GitBase) Blob(path string) ([]byte, error) {
	if err := checkName(path); err != nil {
		return nil, err
	}
	before := g.Began.Add(-time.Second).UTC() // a reflog counts in seconds
	data, err := g.run("cat-file", "blob", "HEAD@{"+before.Format("2006-01-02 15:04:05 +0000")+"}:./"+path)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, nil
	}
	return data, err
}

var errTooLong = errors.New("git's version of it is too long to be merged")

func (g GitBase) run(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.Program, append([]string{"-C", g.Dir}, args...)...)
	cmd.Dir = "/"
	cmd.Env = gitEnviron()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	data, readErr := io.ReadAll(io.LimitReader(out, maxText+1))
	if len(data) > maxText {
		cancel()
		cmd.Wait()
		return nil, errTooLong
	}
	if err := errors.Join(readErr, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	return bytes.Clone(data), nil
}

// gitEnviron is the whole environment of git. Configuration from GIT_CONFIG_KEY_n
// wins over the repository's; no protocol is allowed, because a partial clone
// would fetch what it lacks, by a program that its configuration names.
func gitEnviron() []string {
	env := []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_OPTIONAL_LOCKS=0",
		"GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none", "GIT_PAGER=cat", "GIT_ATTR_NOSYSTEM=1", "GIT_NO_REPLACE_OBJECTS=1"}
	settings := [][2]string{{"core.fsmonitor", ""}, {"core.hooksPath", "/dev/null"}, {"core.sshCommand", "false"}, {"core.gitProxy", ""}, {"core.pager", "cat"},
		{"core.alternateRefsCommand", ""}, {"diff.external", ""}, {"protocol.allow", "never"}, {"safe.directory", "*"}, {"safe.bareRepository", "explicit"}}
	for i, kv := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, kv[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, kv[1]))
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
}
