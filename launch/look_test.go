package launch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"agentbox/mounts"
	"agentbox/profile"
)

// What rootfs.mask names, in a home with an SSH key, a data directory with a key, and a directory elsewhere.
func TestHiddenPaths(t *testing.T) {
	for name, tc := range map[string]struct {
		mask, expose, bind []string // % is the directory of the test
		want               []string
	}{
		"a path, whether it is shown or not":       {mask: []string{"~/.ssh", "~/absent"}, want: []string{"home/.ssh"}},
		"a full path":                              {mask: []string{"%/srv/a.key"}, want: []string{"srv/a.key"}},
		"a path is where its links lead":           {mask: []string{"~/link"}, want: []string{"srv"}},
		"a pattern, below what is exposed":         {mask: []string{"~/data/*.key"}, expose: []string{"~/data"}, want: []string{"home/data/a.key"}},
		"a pattern, below what is mounted":         {mask: []string{"~/data/*.key"}, bind: []string{"~/data"}, want: []string{"home/data/a.key"}},
		"a name with a star, at any depth":         {mask: []string{"~/*.key"}, expose: []string{"~/data"}, want: []string{"home/data/a.key", "home/data/sub/b.key"}},
		"a pattern that names an exposed file":     {mask: []string{"~/data/*.key"}, expose: []string{"~/data/a.key"}, want: []string{"home/data/a.key"}},
		"a pattern that names a directory above":   {mask: []string{"~/dat?"}, expose: []string{"~/data/sub"}, want: []string{"home/data"}},
		"a full path with a pattern":               {mask: []string{"%/srv/*.key"}, want: []string{"srv/a.key"}},
		"a pattern below a link":                   {mask: []string{"~/link/*.key"}, expose: []string{"~/link"}, want: []string{"srv/a.key"}},
		"a full path with a pattern below a link":  {mask: []string{"%/home/link/*.key"}, want: []string{"srv/a.key"}},
		"an exception takes a path out":            {mask: []string{"~/.ssh", "~/.npmrc", "!~/.npmrc"}, want: []string{"home/.ssh"}},
		"an exception takes out what a star names": {mask: []string{"~/data/**/*.key", "!~/data/a.key"}, expose: []string{"~/data"}, want: []string{"home/data/sub/b.key"}},
		"a later path takes the exception back":    {mask: []string{"~/.npmrc", "!~/.npmrc", "~/.npmrc"}, want: []string{"home/.npmrc"}},
		"what two lines name is noted once":        {mask: []string{"~/data/a.key", "~/data/*.key"}, expose: []string{"~/data"}, want: []string{"home/data/a.key"}},
		"an escaped bracket":                       {mask: []string{`~/data/\[x]`}, expose: []string{"~/data"}, want: []string{"home/data/[x]"}},
	} {
		t.Run(name, func(t *testing.T) {
			base := scratchDir(t)
			plant(t, base, "home/project/", "home/.ssh/id", "home/.npmrc", "home/data/a.key", "home/data/sub/b.key", "home/data/[x]", "srv/a.key", "srv/x", "home/link -> %/srv")
			h, p := person(base), bare("ro")
			for _, line := range tc.mask {
				p.Rootfs.Mask = append(p.Rootfs.Mask, strings.ReplaceAll(line, "%", base))
			}
			p.Rootfs.Expose = tc.expose
			for _, source := range tc.bind {
				p.Mounts = append(p.Mounts, profile.Mount{Type: "bind", Source: source, Target: "/x"})
			}
			must(t, h.Look(p))
			var got []string
			for _, m := range h.Files.Hidden {
				got = append(got, strings.TrimPrefix(m.Path, base+"/"))
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPatternForTheWholeHostIsRefused(t *testing.T) {
	h, p := person(scratchDir(t)), bare("ro")
	must(t, os.MkdirAll(h.Dir, 0o755))
	p.Rootfs.Mask = []string{"/**/*.key"}
	if err := h.Look(p); err == nil || !strings.Contains(err.Error(), "rootfs.mask[0]") {
		t.Errorf("got %v", err)
	}
}

// Kinds of what the profile shows; the planner refuses what is Other.
func TestPlacesThatTheProfileShows(t *testing.T) {
	base := scratchDir(t)
	plant(t, base, "home/project/", "home/file", "home/link -> file", "home/up -> ../srv", "srv/x", "home/fifo |", "home/sock ((", "home/circle -> circle", "home/lost -> absent")
	h, p := person(base), bare("ro")
	p.Rootfs.Expose = []string{"~/file", "~/link", "~/up", "~/fifo", "~/sock", "~/circle", "~/lost", "~/absent", "~"}
	must(t, h.Look(p))
	want := []mounts.Place{
		{Path: "home/file", Kind: mounts.File}, {Path: "home/file", Kind: mounts.File}, {Path: "srv", Kind: mounts.Dir},
		{Path: "home/fifo"}, {Path: "home/sock"}, {Path: "home/circle"}, {Path: "home/lost"}, {Path: "home/absent"}, {Path: "home", Kind: mounts.Dir},
	}
	for i, got := range h.Files.Exposed {
		if exists := got.Ino != 0; exists == (i == 7) {
			t.Errorf("%s exists: %v", p.Rootfs.Expose[i], exists)
		}
		got.Path, got.Dev, got.Ino = strings.TrimPrefix(got.Path, base+"/"), 0, 0
		if got != want[i] {
			t.Errorf("%s is %+v, want %+v", p.Rootfs.Expose[i], got, want[i])
		}
	}
}

func TestADirectoryAsTheRoot(t *testing.T) {
	base := scratchDir(t)
	plant(t, base, "home/project/", "image/usr/", "image/etc/os-release", "image/etc/shadow", "image/etc/locked/", "image/bin -> usr/bin", "image/odd |", "image/\xff/")
	must(t, os.Chmod(filepath.Join(base, "image/etc/os-release"), 0o600))
	h, p := person(base), bare("ro")
	p.Rootfs.Source = "~/../image"
	must(t, h.Look(p))
	kinds := func(list []mounts.Entry) map[string]mounts.Entry {
		byName := map[string]mounts.Entry{}
		for _, e := range list {
			e.Size = 0
			byName[e.Name] = e
		}
		return byName
	}
	root := map[string]mounts.Entry{
		"usr": {Name: "usr", Kind: mounts.Dir, Public: true}, "etc": {Name: "etc", Kind: mounts.Dir, Public: true}, "\xff": {Name: "\xff", Kind: mounts.Dir, Public: true},
		"bin": {Name: "bin", Kind: mounts.Link, Target: "usr/bin", Public: true}, "odd": {Name: "odd"},
	}
	if diff := cmp.Diff(root, kinds(h.Files.Root)); diff != "" {
		t.Errorf("the root (-want +got):\n%s", diff)
	}
	etc := map[string]mounts.Entry{"locked": {Name: "locked", Kind: mounts.Dir, Public: true}, "os-release": {Name: "os-release", Kind: mounts.File}}
	if diff := cmp.Diff(etc, kinds(h.Files.Etc)); diff != "" {
		t.Errorf("its etc (-want +got):\n%s", diff)
	}
	p.Rootfs.Source = filepath.Join(base, "absent")
	if err := h.Look(p); err == nil || !strings.Contains(err.Error(), "rootfs.source") {
		t.Errorf("a root that is not there: %v", err)
	}
}

func TestToolchainsOfPATH(t *testing.T) {
	base := scratchDir(t)
	plant(t, base, "home/project/", "home/bin/own", "home/bin/node -> ../.nvm/v22/bin/node", "home/bin/inside -> own", "home/bin/lost -> absent", "home/bin/sh -> /usr/bin/env",
		"home/.nvm/v22/bin/node", "home/.nvm/v22/lib/", "home/alias -> bin", "private/bin/tool")
	must(t, os.Chmod(filepath.Join(base, "private"), 0o700))
	h := person(base)
	h.Env = []string{"PATH=" + strings.ReplaceAll("%/alias:relative:%/absent::%/../private/bin", "%", h.Files.Home)}
	must(t, h.Look(bare("ro")))
	node := filepath.Join(base, "home/.nvm/v22/bin/node")
	want := []mounts.Tool{
		{Dir: filepath.Join(base, "home/alias"), Real: filepath.Join(base, "home/bin"), Links: map[string]string{"node": node}},
		{Dir: filepath.Join(base, "private/bin"), Real: filepath.Join(base, "private/bin"), Links: map[string]string{}},
	}
	if diff := cmp.Diff(want, h.Files.Tools); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !h.Files.Prefixes[filepath.Join(base, "home/.nvm/v22")] || h.Files.Prefixes[filepath.Join(base, "home/bin")] {
		t.Errorf("installations are in %v", h.Files.Prefixes)
	}
	if !h.Files.Closed[filepath.Join(base, "private")] || h.Files.Closed[filepath.Join(base, "home/.nvm")] {
		t.Errorf("closed to others are %v", h.Files.Closed)
	}
}

// The caller's PATH may name a directory of a project; the programs that the start runs are the system's.
func TestSystemProgramsAreNotThoseOfPATH(t *testing.T) {
	dir := scratchDir(t)
	plant(t, dir, "sh", "agentbox-test-program")
	for _, name := range []string{"sh", "agentbox-test-program"} {
		must(t, os.Chmod(filepath.Join(dir, name), 0o755))
	}
	t.Setenv("PATH", dir)
	if file, err := SystemProgram("sh"); err != nil || filepath.Dir(file) == dir {
		t.Errorf("sh is %s, %v", file, err)
	}
	if file, err := SystemProgram("agentbox-test-program"); err == nil {
		t.Errorf("a program of PATH is %s", file)
	}
	inside := ""
	must(t, withSystemPath(func() error { inside = os.Getenv("PATH"); return nil }))
	if strings.Contains(inside, dir) || os.Getenv("PATH") != dir {
		t.Errorf("PATH was %q, and is %q", inside, os.Getenv("PATH"))
	}
}
