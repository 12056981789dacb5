package vm

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// systemdInit is PID 1 of a machine with systemd.
const systemdInit = "/lib/systemd/systemd"

// debianPackages are what a machine with systemd has, with all they depend on.
var debianPackages = []string{"systemd-sysv", "dbus-user-session", "libpam-systemd", "uidmap", "login", "util-linux"}

// onlyToInstall begins the names of packages that others depend on for their
// maintainer scripts, which never run here, or that nothing executes.
var onlyToInstall = []string{"perl", "libperl", "libgdbm", "usrmerge", "dpkg", "debconf", "adduser", "tar_", "libfile-find", "libtext-glob", "libnumber-compare"}

// notNeeded are directories of packages that a machine can do without.
var notNeeded = []string{"/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info", "/usr/share/lintian", "/usr/share/bug",
	"/usr/lib/x86_64-linux-gnu/gconv", "/lib/udev"}

// systemd adds a Debian that is unpacked but not installed: systemd starts without
// what maintainer scripts do, but for the users, the units and the PAM stacks here.
func (t *tree) systemd() {
	t.texts(map[string]string{
		"/etc/machine-id":                          "b0c7e57b0c7e57b0c7e57b0c7e57b0c7\n",
		"/etc/pam.d/common-auth":                   "auth required pam_permit.so\n",
		"/etc/pam.d/common-account":                "account required pam_permit.so\n",
		"/etc/pam.d/common-password":               "password required pam_deny.so\n",
		"/etc/pam.d/common-session":                "session required pam_systemd.so\n",
		"/etc/pam.d/common-session-noninteractive": "session required pam_permit.so\n",
		"/etc/pam.d/other":                         "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
		"/etc/systemd/system/boxtest.service":      "[Unit]\nAfter=dbus.service systemd-logind.service systemd-user-sessions.service\n[Service]\nExecStart=/guest serve\nStandardError=journal+console\n",
	})
	wants := "/etc/systemd/system/multi-user.target.wants/"
	t.link(wants+"boxtest.service", "../boxtest.service")
	t.link("/etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
	for _, unit := range []string{"getty.target", "systemd-timesyncd.service", "systemd-networkd.service", "systemd-resolved.service", "systemd-pstore.service",
		"systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-journal-flush.service", "kmod-static-nodes.service"} {
		t.link("/etc/systemd/system/"+unit, "/dev/null")
	}
	debs, err := debianArchives(debianPackages)
	t.err = errors.Join(t.err, err)
	for _, deb := range debs {
		t.err = errors.Join(t.err, t.deb(deb))
	}
}

// debianArchives downloads packages with all they need, once, and removes those
// that they replace.
func debianArchives(names []string) ([]string, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	store := filepath.Join(cache, "debian")
	work, err := os.MkdirTemp("", "boxtest-apt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	list, err := aptInstall(work, work, "--print-uris", names) // lists what is not there, so all
	if err != nil {
		return nil, err
	}
	if _, err := aptInstall(work, store, "--download-only", names); err != nil {
		return nil, err
	}
	old, err := filepath.Glob(filepath.Join(store, "*.deb"))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, file := range old {
		switch name := filepath.Base(file); {
		case !strings.Contains(list, " "+name+" "):
			os.Remove(file)
		case !isOnlyToInstall(name):
			files = append(files, file)
		}
	}
	if len(files) < len(names) {
		return nil, fmt.Errorf("apt-get left %d packages for %v", len(files), names)
	}
	return files, nil
}

// aptInstall installs nothing: it says or fetches what apt-get would, by the
// package sources of this machine, if nothing were installed.
func aptInstall(work, archives, action string, names []string) (string, error) {
	status := filepath.Join(work, "status")
	err := errors.Join(os.WriteFile(status, nil, 0o644), os.MkdirAll(filepath.Join(archives, "partial"), 0o755))
	if err != nil {
		return "", err
	}
	return output("apt-get", append([]string{"-q", "-y", "--no-install-recommends", "-o", "Dir::State::status=" + status,
		"-o", "Dir::Cache::archives=" + archives, "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
		"-o", "Debug::NoLocking=1", action, "install"}, names...)...)
}

func isOnlyToInstall(file string) bool {
	return slices.ContainsFunc(onlyToInstall, func(prefix string) bool { return strings.HasPrefix(file, prefix) })
}

// deb adds the files of a package.
func (t *tree) deb(path string) error {
	unpack := exec.Command("dpkg-deb", "--fsys-tarfile", path)
	out, err := unpack.StdoutPipe()
	if err != nil {
		return err
	}
	if err := unpack.Start(); err != nil {
		return err
	}
	err = t.copy(tar.NewReader(out))
	if _, drained := io.Copy(io.Discard, out); err == nil {
		err = drained
	}
	if err = errors.Join(err, unpack.Wait()); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

func (t *tree) copy(from *tar.Reader) error {
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h.Name = filepath.Join("/", h.Name)
		unwanted := slices.ContainsFunc(notNeeded, func(dir string) bool { return h.Name == dir || strings.HasPrefix(h.Name, dir+"/") })
		if unwanted {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			h.Linkname = merged(filepath.Join("/", h.Linkname))
		}
		t.add(*h, from)
	}
}
