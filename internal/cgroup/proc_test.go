package cgroup

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOwnGroups(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want map[string]string
	}{
		"version 2 has one":                      {"0::/user.slice/x.scope\n", map[string]string{"": "/user.slice/x.scope"}},
		"version 1 has one for each hierarchy":   {"4:memory:/a\n3:cpu,cpuacct:/b\n", map[string]string{"memory": "/a", "cpu": "/b", "cpuacct": "/b"}},
		"hybrid has both, and one without":       {"2:pids:/a\n1:name=systemd:/s\n0::/u\n", map[string]string{"pids": "/a", "name=systemd": "/s", "": "/u"}},
		"a name may have a colon":                {"0::/a:b\n", map[string]string{"": "/a:b"}},
		"the last line may have no end":          {"0::/a", map[string]string{"": "/a"}},
		"a line that is none counts for none":    {"\n0:\nnothing\n", map[string]string{}},
		"no control groups in the kernel at all": {"", map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parseOwn(tc.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMountsOfGroups(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []hierarchy
	}{
		"version 2":               {"29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", []hierarchy{{2, "/sys/fs/cgroup", "/", nil}}},
		"version 1":               {"33 29 0:30 / /cg/cpu rw shared:15 - cgroup cgroup rw,cpu,cpuacct\n", []hierarchy{{1, "/cg/cpu", "/", []string{"rw", "cpu", "cpuacct"}}}},
		"no optional fields":      {"29 22 0:26 / /cg rw - cgroup2 cgroup2 rw\n", []hierarchy{{2, "/cg", "/", nil}}},
		"a container sees a part": {"29 22 0:26 /docker/x /cg ro - cgroup cgroup rw,memory\n", []hierarchy{{1, "/cg", "/docker/x", []string{"rw", "memory"}}}},
		"a name with blanks":      {`29 22 0:26 /a\040b /c\011d\134e rw - cgroup2 cgroup2 rw` + "\n", []hierarchy{{2, "/c\td\\e", "/a b", nil}}},
		"others are left out":     {"22 1 8:1 / / rw - ext4 /dev/vda rw\n24 22 0:5 / /proc rw - proc proc rw\n", nil},
		"and what is no mount":    {"29 22 0:26 / /cg\n - cgroup2 x y\n29 22 0:26 x y rw - cgroup2 cgroup2 rw\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parseMounts(tc.text), cmp.AllowUnexported(hierarchy{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhereAGroupIsSeen(t *testing.T) {
	for name, tc := range map[string]struct{ root, group, want string }{
		"the whole hierarchy":                    {"/", "/a/b", "/cg/a/b"},
		"its root":                               {"/", "/", "/cg"},
		"a container that sees its own":          {"/docker/x", "/docker/x", "/cg"},
		"a container that sees its own and more": {"/docker", "/docker/x", "/cg/x"},
		"a group beside":                         {"/docker/x", "/docker/y", ""},
		"a group above":                          {"/docker/x", "/docker", ""},
		"a name that begins alike":               {"/docker/x", "/docker/xy", ""},
		"a mount from outside the namespace":     {"/../..", "/", ""},
		"a group outside the namespace":          {"/", "/../x", ""},
		"a name that begins with two dots":       {"/", "/..x", "/cg/..x"},
		"no group":                               {"/", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := hierarchy{root: tc.root, point: "/cg"}.dir(tc.group)
			if got != tc.want || ok != (tc.want != "") {
				t.Errorf("%q (%v), want %q", got, ok, tc.want)
			}
		})
	}
}

// Whatever the kernel is made to say, a group lies below a mount.
func FuzzGroups(f *testing.F) {
	f.Add("29 22 0:26 / /cg rw shared:9 - cgroup2 cgroup2 rw\n", "0::/a\n")
	f.Add("33 29 0:30 /a\\040b /cg/cpu rw - cgroup cgroup rw,cpu\n", "3:cpu,cpuacct:/a b/c\n0::/\n")
	f.Add("29 22 0:26 /../.. /cg rw - cgroup2 cgroup2 rw\n", "0::/../x\n")
	f.Fuzz(func(t *testing.T, mountinfo, groups string) {
		own := parseOwn(groups)
		for _, m := range parseMounts(mountinfo) {
			for _, group := range own {
				dir, ok := m.dir(group)
				if rel, err := filepath.Rel(m.point, dir); ok && (err != nil || !filepath.IsLocal(rel)) {
					t.Errorf("%q of %+v is %q", group, m, dir)
				}
				if ok && strings.Contains(group, "/../") {
					t.Errorf("%q leads out of the namespace", group)
				}
			}
		}
	})
}
