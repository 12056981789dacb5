package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	sparse = "home/.cargo/registry/index/index.test-0123456789abcdef/config.json"
	again  = "home/.cargo/registry/index/index.test-fedcba9876543210/config.json"
	other  = "home/.cargo/registry/index/other.test-0123456789abcdef/config.json"
	byGit  = "home/.cargo/registry/index/git.test-0123456789abcdef/HEAD"
	dl     = `{"dl": "https://files.test/crates/{crate}", "api": "https://api.test"}`
	config = "home/.cargo/config.toml"
)

func TestCargoConfiguration(t *testing.T) {
	nothing := []string{"error: cargo: its configuration names no registry, and it has not used one yet; list the hosts"}
	for name, tc := range map[string]struct {
		files map[string]string
		env   []string
		want  []string
	}{
		"nothing at all":                                      {nil, nil, nothing},
		"the default registry, once used":                     {map[string]string{sparse: dl}, nil, []string{"files.test 443", "index.test 443"}},
		"the default registry, used by two versions of cargo": {map[string]string{sparse: dl, again: dl}, nil, []string{"files.test 443", "index.test 443"}},
		"used by Git only":                                    {map[string]string{byGit: ""}, nil, []string{"git.test 443"}},
		"used by Git and then not":                            {map[string]string{byGit: "", sparse: dl}, nil, []string{"files.test 443", "index.test 443"}},
		"which of two is the default": {map[string]string{sparse: dl, other: `{"dl": "https://other.test/"}`}, nil,
			[]string{"error: cargo: it has used index.test and other.test, and which is its default is not known; list the hosts"}},
		"of two, one is configured": {map[string]string{sparse: dl, other: `{"dl": "https://more.test/"}`, config: "[registries.o]\nindex = 'sparse+https://other.test/'"}, nil,
			[]string{"files.test 443", "index.test 443", "more.test 443", "other.test 443"}},
		"a mirror replaces the default": {map[string]string{sparse: dl, config: `
			[source.crates-io]
			replace-with = "a"
			[source.a]
			replace-with = "b"
			[source.b]
			registry = "sparse+https://mirror.test:8443/index/"
			[source.unused]
			registry = "https://unused.test"`}, nil, []string{"mirror.test 8443"}},
		"a registry replaces the default": {map[string]string{config: "[source.crates-io]\nreplace-with = 'r'\n[registries.r]\nindex = 'ssh://git@r.test/i'"}, nil, []string{"r.test 22"}},
		"a registry is replaced": {map[string]string{config: `
			registries.r.index = "https://r.test/i"
			source.x = { registry = "https://r.test/i", replace-with = "y" }
			source.y = { git = "https://y.test/i" }`}, nil, []string{"y.test 443"}},
		"packages in a directory": {map[string]string{sparse: dl, config: "[source.crates-io]\nreplace-with = 'v'\n[source.v]\ndirectory = '/srv'"}, nil,
			[]string{"error: cargo: it is set to use only directories of this machine"}},
		"a variable names a registry":       {nil, []string{"CARGO_REGISTRIES_MY_OWN_INDEX=sparse+https://own.test/"}, []string{"own.test 443"}},
		"a variable counts more":            {map[string]string{config: "[registries.My-own]\nindex = 'https://a.test'"}, []string{"CARGO_REGISTRIES_MY_OWN_INDEX=https://b.test"}, []string{"b.test 443"}},
		"CARGO_HOME is elsewhere":           {map[string]string{config: "x"}, []string{"CARGO_HOME=/no/such"}, nothing},
		"the file without an extension":     {map[string]string{config: "x", "home/.cargo/config": "[registries.a]\nindex = 'https://a.test'"}, nil, []string{"a.test 443"}},
		"keys in another case are no keys":  {map[string]string{config: "[Registries.a]\nindex = 'https://a.test'"}, nil, nothing},
		"a circle":                          {map[string]string{config: "source.crates-io.replace-with = 'a'\nsource.a.replace-with = 'crates-io'"}, nil, []string{"error: cargo: the replacements of source.crates-io go round in a circle"}},
		"a replacement that is not there":   {map[string]string{config: "source.crates-io.replace-with = 'a'"}, nil, []string{"error: cargo: there is no source.a, which is to replace another"}},
		"a password is in no error":         {map[string]string{config: "[registries.a]\nindex = 'ftp://me:hunter2@a.test'"}, nil, []string{"error: cargo: registries.a is not a URL with a host"}},
		"nor is a token near a broken line": {map[string]string{config: "\n[registries.a]\ntoken = hunter2"}, nil, []string{"error: cargo: ROOT/home/.cargo/config.toml: line 3 is not TOML"}},
		"nor a strange name":                {map[string]string{config: "[registries.\"\\u001b[2J\"]\nindex = 1"}, nil, []string{`error: cargo: ROOT/home/.cargo/config.toml: registries.NAME: "index" is not a text`}},
		"files that are included":           {map[string]string{config: "include = ['x.toml']"}, nil, []string{"error: cargo: ROOT/home/.cargo/config.toml: it includes other files, which are not read; list the hosts"}},
		"a file without an end":             {map[string]string{config: strings.Repeat("#", maxOutput+1)}, nil, []string{"error: cargo: ROOT/home/.cargo/config.toml is too large"}},
		"an index that is not understood":   {map[string]string{sparse: "hunter2"}, nil, []string{`error: cargo: ROOT/` + sparse + `: it is not JSON with a "dl"`}},
		"directories with other names":      {map[string]string{"home/.cargo/registry/index/index.test/x": "", "home/.cargo/registry/index/-0123456789abcdef/x": "", "home/.cargo/registry/index/x": ""}, nil, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.Env = tc.env
			for path, text := range tc.files {
				h.write(path, text)
			}
			if diff := cmp.Diff(tc.want, h.ask("@cargo")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
