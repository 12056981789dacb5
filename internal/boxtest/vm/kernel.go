package vm

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// kernelPackage is Debian's package that depends on its newest kernel for clouds:
// small, quick to boot, and without drivers for real hardware.
const kernelPackage = "linux-image-cloud-amd64"

// A kernel is an unpacked package.
type kernel struct {
	image   string
	modules map[string]string // paths of the files, by the names of the modules
}

// findKernel returns the newest kernel that the machine's package sources offer.
// It is downloaded once, and never installed.
func findKernel() (*kernel, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	file, pkg, err := newestKernel()
	if err == nil {
		dir := filepath.Join(cache, strings.TrimSuffix(file, ".deb"))
		if _, missing := os.Stat(dir); missing != nil {
			err = fetchKernel(pkg, dir)
		}
		if err == nil {
			return openKernel(dir)
		}
	}
	// Without the package sources, what an earlier run fetched serves as well.
	old, _ := filepath.Glob(filepath.Join(cache, "linux-image-*"))
	if len(old) == 0 {
		return nil, err
	}
	return openKernel(slices.Max(old))
}

// cacheDir is where kernels are kept: the user's cache directory, or the
// machine's for a superuser without a home.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil && os.Geteuid() == 0 {
		base, err = "/var/cache", nil
	}
	return filepath.Join(base, "agentbox-test"), err
}

// newestKernel asks for the package that carries the kernel, and the name of its
// file, which has the version in it.
func newestKernel() (file, pkg string, err error) {
	out, err := output("apt-cache", "depends", kernelPackage)
	if err != nil {
		return "", "", err
	}
	for _, line := range strings.Split(out, "\n") {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: linux-image-"); ok {
			pkg = "linux-image-" + name
		}
	}
	if pkg == "" {
		return "", "", fmt.Errorf("the package sources offer no %s", kernelPackage)
	}
	out, err = output("apt-get", "download", "--print-uris", pkg)
	if err != nil {
		return "", "", err
	}
	fields := strings.Fields(out) // 'URI' FILE SIZE HASH
	if len(fields) < 2 || strings.ContainsRune(fields[1], '/') || !strings.HasSuffix(fields[1], ".deb") {
		return "", "", fmt.Errorf("apt-get names no file for %s: %q", pkg, out)
	}
	return fields[1], pkg, nil
}

// fetchKernel downloads a package and unpacks it as dir, whole or not at all. It
// removes those that it replaces.
func fetchKernel(pkg, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// apt checks the package's hash, and warns that its own user cannot read here.
	get := exec.Command("apt-get", "-q", "download", pkg)
	get.Dir = work
	if out, err := get.CombinedOutput(); err != nil {
		return fmt.Errorf("download %s: %w\n%s", pkg, err, out)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("download %s: got %d packages", pkg, len(debs))
	}
	unpacked := filepath.Join(work, "unpacked")
	if _, err := output("dpkg-deb", "-x", debs[0], unpacked); err != nil {
		return err
	}
	if err := os.Rename(unpacked, dir); err != nil && !errors.Is(err, fs.ErrExist) { // another process was faster
		return err
	}
	old, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "linux-image-*"))
	for _, replaced := range slices.DeleteFunc(old, func(kept string) bool { return kept == dir }) {
		err = errors.Join(err, os.RemoveAll(replaced))
	}
	return err
}

func openKernel(dir string) (*kernel, error) {
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return nil, fmt.Errorf("%s has %d kernels, want one", dir, len(images))
	}
	k := &kernel{image: images[0], modules: map[string]string{}}
	return k, filepath.WalkDir(filepath.Join(dir, "lib", "modules"), func(path string, e fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok && err == nil {
			k.modules[moduleName(name)] = path
		}
		return err
	})
}

func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// load returns the files of modules, each behind those it needs.
func (k *kernel) load(names ...string) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		name = moduleName(name)
		if seen[name] {
			return nil
		}
		seen[name] = true
		path, ok := k.modules[name]
		if !ok {
			return fmt.Errorf("%s has no module %s", filepath.Base(k.image), name)
		}
		needs, err := moduleNeeds(path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		files = append(files, path)
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// moduleNeeds reads what a module says it depends on. The package has no
// modules.dep: depmod writes that when it is installed.
func moduleNeeds(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s is not a kernel module", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, entry := range strings.Split(string(info), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}
