package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agentbox/internal/boxtest"
)

// A directory may serve as the root. What every box makes itself stays, and what no box has does not get in.
func TestRootfsThatIsADirectory(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, find, "")
			root := boxtest.Project(t, w.Account)
			w.WriteFile(t, filepath.Join(root, "etc/motd"), "theirs\n", 0o644)
			w.WriteFile(t, filepath.Join(root, "etc/passwd"), "theirs\n", 0o644)
			w.WriteFile(t, filepath.Join(root, "etc/shadow"), "secret\n", 0o644)
			busybox, err := os.ReadFile("/bin/busybox")
			if err != nil {
				boxtest.Need(t, boxtest.VM) // brings a static one
				t.Skipf("needs a static busybox: %v", err)
			}
			w.WriteFile(t, filepath.Join(root, "bin/busybox"), string(busybox), 0o755)
			profile := fmt.Sprintf("rootfs.source = %q", root)
			r := w.attempt(t, attempt{script: "true", profile: ""}) // the host's root has a shell
			if r.code != 0 {
				t.Fatalf("%+v", r)
			}
			w.profile(t, profile)
			in := func(args ...string) result { return w.run(t, append([]string{"/bin/busybox"}, args...)...) }
			if r := in("cat", "/etc/motd"); r.out != "theirs\n" {
				t.Errorf("a file of the directory: %+v", r)
			}
			if r := in("cat", "/etc/passwd"); !strings.HasPrefix(r.out, "root:x:0:0:") {
				t.Errorf("the box's own accounts: %+v", r)
			}
			for what, args := range map[string][]string{"a secret": {"cat", "/etc/shadow"}, "the host's shell": {"ls", "/bin/sh"}, "writing": {"touch", "/bin/x"}} {
				if r := in(args...); r.code == 0 {
					t.Errorf("%s: %+v", what, r)
				}
			}
			if r := in("touch", "written"); r.code != 0 || !w.exists("written") {
				t.Errorf("the workspace: %+v", r)
			}
		})
	}
}
