package boxtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// binaryEnv names the agentbox binary to test, when it is already built.
const binaryEnv = "AGENTBOX_BIN"

// Binary returns the path of the agentbox binary under test: AGENTBOX_BIN, or
// one that is built, statically, once a test process. Every user may run it.
func Binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(binaryEnv); path != "" {
		if err := checkBinary(path); err != nil {
			t.Fatalf("%s: %v", binaryEnv, err)
		}
		process.mu.Lock()
		defer process.mu.Unlock()
		if err := process.lockMachine(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return built(t, ".", "agentbox")
}

func checkBinary(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not a program", path)
	}
	return nil
}

// Probe puts the posture probe into dir, where every user may run it, and returns
// its path. See testdata/probe for what it prints.
func Probe(t testing.TB, dir string) string {
	t.Helper()
	return program(t, dir, "probe")
}

// Fetch puts an HTTP client in Go into dir; see testdata/fetch.
func Fetch(t testing.TB, dir string) string {
	t.Helper()
	return program(t, dir, "fetch")
}

// Load puts a client that makes many connections into dir; see testdata/load.
func Load(t testing.TB, dir string) string {
	t.Helper()
	return program(t, dir, "load")
}

// Signals puts a program that starts others while it sends itself signals into dir; see testdata/signals.
func Signals(t testing.TB, dir string) string {
	t.Helper()
	return program(t, dir, "signals")
}

func program(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := copyProgram(built(t, "testdata/"+name, name), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(0o755), out.Close())
}

// built builds a program of this module, once, and waits for its turn on the
// machine.
func built(t testing.TB, source, name string) string {
	t.Helper()
	process.mu.Lock()
	defer process.mu.Unlock()
	b, done := process.built[source]
	if !done {
		if err := process.lockMachine(); err != nil {
			t.Fatal(err)
		}
		var dir string
		if dir, b.err = process.programDir(); b.err == nil {
			b.path = filepath.Join(dir, name)
			b.err = goBuild(source, b.path)
		}
		if process.built == nil {
			process.built = map[string]build{}
		}
		process.built[source] = b
	}
	if b.err != nil {
		t.Fatalf("build %s: %v", name, b.err)
	}
	return b.path
}

func goBuild(source, path string) error {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-tags", "netgo osusergo runc_nocriu urfave_cli_no_docs",
		"-ldflags", "-linkmode external -extldflags -static", "-o", path, "./"+source)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return os.Chmod(path, 0o755)
}
