package registry

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"agentbox/internal/boxtest"

	"github.com/google/go-cmp/cmp"
)

func texts(list []Endpoint) []string {
	var out []string
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s %d", e.Host, e.Port))
	}
	return out
}

func outcome(found endpoints, err error) []string {
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	return texts(found.sorted())
}

func TestURLs(t *testing.T) {
	for text, want := range map[string]string{
		"https://registry.test/":               "registry.test 443",
		"http://Registry.TEST.:8080/npm":       "registry.test 8080",
		"http://registry.test":                 "registry.test 80",
		"https://me:hunter2@registry.test/x":   "registry.test 443",
		"https://[2001:db8::1]:8443/":          "2001:db8::1 8443",
		"https://[::ffff:192.0.2.1]/":          "192.0.2.1 443",
		"https://bücher.test/":                 "xn--bcher-kva.test 443",
		"ssh://git@git.test/index":             "git.test 22",
		"file:///srv/packages":                 errLocal.Error(),
		"":                                     errNoHost.Error(),
		"registry.test":                        errNoHost.Error(),
		"https:registry.test":                  errNoHost.Error(),
		"https://":                             errNoHost.Error(),
		"https://registry.test:0/":             errNoHost.Error(),
		"https://registry.test:65536/":         errNoHost.Error(),
		"https://*.registry.test/":             errNoHost.Error(),
		"https://registry..test/":              errNoHost.Error(),
		"https://0x7f.1/":                      errNoHost.Error(),
		"https://2130706433/":                  errNoHost.Error(),
		"https://[fe80::1%25eth0]/":            errNoHost.Error(),
		"https://a.test\n.evil.test/":          errNoHost.Error(),
		"gopher://registry.test/":              errNoHost.Error(),
		"https://" + strings.Repeat("a.", 200): errNoHost.Error(),
	} {
		e, err := parseURL(text, webAndSSH)
		got := fmt.Sprintf("%s %d", e.Host, e.Port)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestNpmAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		want   []string
	}{
		"the registry and those of scopes": {`{"registry": "https://npm.test/", "@me:registry": "http://me.test:81/x", "omit-lockfile-registry-resolved": true, "replace-registry-host": "other.test"}`,
			[]string{"me.test 81", "npm.test 443"}},
		"one host named twice is one":        {`{"registry": "https://npm.test/a", "@me:registry": "https://NPM.test/b"}`, []string{"npm.test 443"}},
		"a registry that npm keeps back":     {`{"prefix": "/usr"}`, []string{"error: npm: it does not tell its registry, as when the URL holds a password"}},
		"a password is not in an error":      {`{"registry": "https://npm.test/", "@me:registry": "https://me:hunter2@"}`, []string{`error: npm: its "@me:registry" is not a URL with a host`}},
		"nor is a strange key":               {`{"registry": "https://npm.test/", "@\u001b[2J me:registry": 1}`, []string{`error: npm: its "@SCOPE:registry" is not a text`}},
		"a variable that npm does not know":  {`{"registry": "https://${HOST}/"}`, []string{`error: npm: its "registry" needs a variable that is not passed on to it`}},
		"a registry that is no text":         {`{"registry": ["https://npm.test"]}`, []string{`error: npm: its "registry" is not a text`}},
		"a directory":                        {`{"registry": "file:///srv"}`, []string{"error: npm: its registry is a directory of this machine"}},
		"null":                               {`null`, []string{"error: npm: its answer is not its configuration as JSON"}},
		"what follows makes all of it wrong": {`{"registry": "https://npm.test/"} more`, []string{"error: npm: its answer is not its configuration as JSON"}},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parseNpm([]byte(tc.answer))
			if diff := cmp.Diff(tc.want, outcome(config.found, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConfigurationInTheWorkspaceIsNotBelieved(t *testing.T) {
	for name, tc := range map[string]struct {
		word, env, link string
		want            string
	}{
		"npm's file by its name":       {"@npm", "npm_config_userconfig=ROOT/work/npmrc", "", "npm_config_userconfig leads into the workspace"},
		"npm's file by a link":         {"@npm", "", "home/.npmrc", "npm: the configuration ROOT/home/.npmrc is inside the workspace"},
		"go's file by its name":        {"@go", "GOENV=ROOT/work/env", "", "GOENV leads into the workspace"},
		"go's file by a link":          {"@go", "", "home/goenv", "go: the configuration ROOT/home/goenv is inside the workspace"},
		"pip's file by its name":       {"@pip", "PIP_CONFIG_FILE=ROOT/work/pip.conf", "", "pip: PIP_CONFIG_FILE leads into the workspace"},
		"pip's file by a link":         {"@pip", "", "home/.pip", "pip: the configuration ROOT/home/.pip/pip.conf is inside the workspace"},
		"cargo's directory":            {"@cargo", "CARGO_HOME=ROOT/work/cargo", "", "cargo: the configuration ROOT/work/cargo/config is inside the workspace"},
		"cargo's directory by a link":  {"@cargo", "", "home/.cargo", "cargo: the configuration ROOT/home/.cargo/config is inside the workspace"},
		"cargo's directory is no path": {"@cargo", "CARGO_HOME=cargo", "", "cargo: CARGO_HOME is not an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.tool("bin/npm", `echo '{"registry": "https://npm.test/", "userconfig": "'"$HOME"'/.npmrc"}'`)
			h.tool("bin/go", `echo '{"GOPROXY": "https://go.test", "GOENV": "'"$HOME"'/goenv"}'`)
			h.tool("bin/python3", `echo "default-index='https://pip.test'"`)
			for _, word := range []string{"@npm", "@go", "@pip"} {
				if got := h.ask(word); len(got) != 1 || strings.HasPrefix(got[0], "error") {
					t.Fatalf("%s before: %v", word, got)
				}
			}
			if tc.env != "" {
				h.Env = []string{strings.ReplaceAll(tc.env, "ROOT", h.root)}
			}
			if tc.link != "" {
				h.link(tc.link, "work")
			}
			if diff := cmp.Diff([]string{"error: " + tc.want}, h.ask(tc.word)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGoAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		proxy, sumdb string
		want         []string
	}{
		"a proxy, then the origin":          {"https://a.test,direct", "sum.test", []string{"a.test 443", "sum.test 443"}},
		"both signs part a list":            {"https://a.test|http://b.test:81/x, c.test/y,off", "off", []string{"a.test 443", "b.test 81", "c.test 443"}},
		"what follows direct is never read": {"a.test,direct,https://b.test", "off", []string{"a.test 443"}},
		"what follows off is never read":    {"a.test|off|https://b.test", "off", []string{"a.test 443"}},
		"a directory is no host":            {"file:///srv/mod,a.test", "off", []string{"a.test 443"}},
		"a database with a key and a URL":   {"off", "sum.test+0123abcd+AbCd= https://mirror.test/sum", []string{"mirror.test 443"}},
		"a database with a key":             {"off", "sum.test/x+0123abcd+AbCd=", []string{"sum.test 443"}},
		"neither":                           {"direct", "off", []string{"error: go: its GOPROXY and GOSUMDB name no host"}},
		"a password is in no error":         {"a.test,https://me:hunter2@:x", "off", []string{"error: go: entry 2 of GOPROXY is not a URL with a host"}},
		"nor in a result":                   {"https://me:hunter2@a.test", "off", []string{"a.test 443"}},
		"a word is no proxy":                {"yes", "off", []string{"error: go: entry 1 of GOPROXY is not a URL with a host"}},
		"a database with a password":        {"off", "me:hunter2@sum.test", []string{"error: go: GOSUMDB does not begin with a host"}},
		"a database of three words":         {"off", "a b c", []string{"error: go: GOSUMDB has more than a name and a URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.tool("bin/go", fmt.Sprintf(`[ "$*" = "env -json GOPROXY GOSUMDB GOENV" ] && echo '{"GOPROXY": %q, "GOSUMDB": %q, "GOENV": "off"}'`, tc.proxy, tc.sumdb))
			if diff := cmp.Diff(tc.want, h.ask("@go")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPipAnswers(t *testing.T) {
	const own = "default-index='https://own.test/simple'\ndefault-files='https://files.test'\n"
	for name, tc := range map[string]struct {
		answer string
		want   []string
	}{
		"nothing is configured":                {own + "global.timeout='60'\n", []string{"files.test 443", "own.test 443"}},
		"an index replaces pip's own":          {own + "global.index-url='https://me:hunter2@a.test/simple'", []string{"a.test 443"}},
		"pip's own by name has its files":      {own + "global.index-url='https://own.test/simple/'", []string{"files.test 443", "own.test 443"}},
		"more indexes, on lines":               {own + `global.extra-index-url='\nhttps://a.test/x\nhttp://b.test'`, []string{"a.test 443", "b.test 80", "files.test 443", "own.test 443"}},
		"the environment counts most":          {own + "install.index-url='https://a.test'\n:env:.index-url='https://b.test'", []string{"b.test 443"}},
		"a command's section counts for it":    {own + "global.index-url='https://a.test'\ninstall.index-url='https://b.test'", []string{"a.test 443", "b.test 443"}},
		"another command's does not":           {own + "global.index-url='https://a.test'\nfreeze.index-url='https://b.test'", []string{"a.test 443"}},
		"an empty value is none":               {own + "global.index-url='https://a.test'\n:env:.index-url=''", []string{"a.test 443"}},
		"pages with links, and directories":    {own + "global.no-index='true'\nglobal.find-links='/srv/wheels https://a.test/wheels ./x'", []string{"a.test 443"}},
		"no index at all":                      {own + "global.no-index='1'\nglobal.find-links='/srv'", []string{"error: pip: it is set to use no index but directories of this machine"}},
		"a pip that does not tell its own":     {"global.timeout='60'", []string{"error: pip: no index is configured, and it does not tell the one that it uses then"}},
		"a password is in no error":            {own + "global.index-url='ftp://me:hunter2@a.test'", []string{"error: pip: its index-url is not a URL with a host"}},
		"a switch that is neither on nor off":  {own + "global.no-index='hunter2'", []string{"error: pip: its no-index is neither true nor false"}},
		"a warning among the lines is no line": {own + "WARNING: hunter2", []string{"error: pip: its answer is not a list of its configuration"}},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parsePip([]byte(tc.answer))
			var found endpoints
			if err == nil {
				found, err = config.endpoints()
			}
			if diff := cmp.Diff(tc.want, outcome(found, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPythonTexts(t *testing.T) {
	for quoted, want := range map[string]string{
		`'a'`: "a", `"it's"`: "it's", `'\n\t\r\\\'\"'`: "\n\t\r\\'\"", `'\x1b\u00e9\U0001f600'`: "\x1b\u00e9\U0001f600", `''`: "",
	} {
		if got, ok := unquotePython(quoted); !ok || got != want {
			t.Errorf("%s: %q, %v", quoted, got, ok)
		}
	}
	for _, bad := range []string{``, `'`, `a`, `'a"`, `'a'b'`, `'\'`, `'\q'`, `'\x1'`, `'\xgg'`, `'\Uffffffff'`} {
		if got, ok := unquotePython(bad); ok {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func TestComplaintsWithoutSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"\n  cannot open /etc/npmrc\nx":  "cannot open /etc/npmrc",
		"fetch https://a.test/hunter2":   "fetch [...]",
		"as me:hunter2@a.test now":       "as [...] now",
		"password is hunter2":            "[...]",
		"no _authToken=hunter2 there":    "no [...]",
		"got AbCdEf0123456789AbCdEf01":   "got [...]",
		"got " + strings.Repeat("a", 50): "got [...]",
		strings.Repeat("word ", 100):     strings.Repeat("word ", 24) + "[...]",
		"a\xff\x1b[2J":                   "a??[2J",
	} {
		if got := firstLine(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What pip itself does with its files is asked of pip, with none of this machine's configuration.
func TestTheRealToolsReadTheirFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		need       boxtest.Feature
		file, text string
		env, want  []string
	}{
		"@npm": {boxtest.Npm, "home/.npmrc", "registry=https://npm.test:8443/x\n@me:registry=http://me.test\n//me.test/:_authToken=hunter2\nloglevel=silent\ncolor=always\n",
			[]string{"npm_config_@you:registry=https://you.test"}, []string{"me.test 80", "npm.test 8443", "you.test 443"}},
		"@go": {boxtest.Go, "home/.config/go/env", "GOPROXY=https://a.test|https://b.test\nGOSUMDB=off\nGOTOOLCHAIN=go9.9.9\n",
			[]string{"GOSUMDB=sum.test"}, []string{"a.test 443", "b.test 443", "sum.test 443"}},
		"@pip": {"pip3", "home/.config/pip/pip.conf", "[global]\nquiet = 1\nverbose = 2\npython = /no/such\nindex-url = https://me:hunter2@a.test/" + strings.Repeat("x", 200) + "\nextra-index-url =\n  https://b.test\n  http://c.test:81\n",
			[]string{"PIP_FIND_LINKS=https://d.test"}, []string{"a.test 443", "b.test 443", "c.test 81", "d.test 443"}},
	} {
		t.Run(name, func(t *testing.T) {
			boxtest.Need(t, tc.need)
			h := newHost(t)
			h.Path, h.Dir, h.Env = slices.Concat(strings.Split(os.Getenv("PATH"), ":")), "/", tc.env
			h.write(tc.file, tc.text)
			h.write("work/.npmrc", "registry=https://evil.test\n")
			got := h.ask(name)
			for _, want := range tc.want { // the machine's own files may add to them
				if !slices.Contains(got, want) {
					t.Errorf("%v lacks %s", got, want)
				}
			}
		})
	}
}
