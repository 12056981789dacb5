package world

import (
	"crypto/subtle"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// gitScript makes a bare repository with one commit on the branch main.
const gitScript = `git init -q -b main source
cd source
echo hello from git >file
git add file
git -c user.name=world -c user.email=world@example.org commit -qm "say hello"
cd ..
git clone -q --bare source project.git
git -C project.git config http.receivepack true
`

// Git serves the repository /project.git, with one commit on its branch main, by git's own program for HTTP. Everybody
// may fetch and push.
func Git(t testing.TB) http.Handler {
	t.Helper()
	boxtest.Need(t, boxtest.Git)
	root := t.TempDir()
	env := []string{"HOME=" + root, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	setup := exec.Command("sh", "-ec", gitScript)
	setup.Dir, setup.Env = root, env
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("world: git: %v\n%s", err, out)
	}
	git, err := exec.LookPath("git")
	if err == nil {
		git, err = filepath.Abs(git)
	}
	if err != nil {
		t.Fatal("world: ", err)
	}
	return &cgi.Handler{Path: git, Args: []string{"http-backend"}, Dir: root,
		Env: append(env, "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=world")}
}

// Behind serves next to requests whose Authorization is the given one. Others are told 401, and by which scheme to ask.
func Behind(authorization string, next http.Handler) http.Handler {
	scheme, _, _ := strings.Cut(authorization, " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(authorization)) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", scheme+` realm="world"`)
		http.Error(w, "you are not known here", http.StatusUnauthorized)
	})
}
