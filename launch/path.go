package launch

import (
	"os"
	"os/exec"
	"path/filepath"
)

// systemPath is where programs of the host are looked for that the start of a box runs. The caller's PATH may name
// a directory of a project, and then the agent of an earlier box chose the program. The last three are where NixOS
// and Guix keep programs with a set-user-ID bit.
const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:" +
	"/run/wrappers/bin:/run/privileged/bin:/run/setuid-programs"

// SystemProgram finds a program of the host, whatever PATH says.
func SystemProgram(name string) (string, error) {
	for _, dir := range filepath.SplitList(systemPath) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return file, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// withSystemPath runs f while PATH names the system's directories alone: libcontainer looks there for newuidmap.
func withSystemPath(f func() error) error {
	old, set := os.LookupEnv("PATH")
	if err := os.Setenv("PATH", systemPath); err != nil {
		return err
	}
	defer func() {
		if !set {
			_ = os.Unsetenv("PATH")
			return
		}
		_ = os.Setenv("PATH", old)
	}()
	return f()
}
