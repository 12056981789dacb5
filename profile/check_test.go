package profile

import (
	"os"
	"strings"
	"testing"
)

// checked returns what Check says of one trusted file over the strict preset.
func checked(t *testing.T, data string) Findings {
	t.Helper()
	strict, _ := Preset("strict")
	e, fs := Merge([]Layer{strict, user("box.toml", data)}, nil)
	return append(fs, Check(e)...)
}

// Each refusal has a profile beside it that differs in one value and is allowed.
func TestCheckRefusesAndAllowsInPairs(t *testing.T) {
	mount := func(s string) string { return "[[mount]]\n" + strings.ReplaceAll(s, "; ", "\n") }
	credential := func(s string) string {
		return "[[credential]]\nname = \"k\"\nsource = \"env:K\"\n" + strings.ReplaceAll(s, "; ", "\n")
	}
	for name, tc := range map[string]struct{ bad, good, key string }{
		"root as the user":             {`agent.user = "0:0"`, `agent.user = "1:1"`, "agent.user"},
		"root as the group":            {`agent.user = "1000:0"`, `agent.user = "1000:1000"`, "agent.user"},
		"an id that does not fit":      {`agent.user = "65536:1"`, `agent.user = "65535:1"`, "agent.user"},
		"an id with a sign":            {`agent.user = "+1:1"`, `agent.user = "1:1"`, "agent.user"},
		"a loader variable set":        {`agent.env.LD_AUDIT = "x"`, `agent.env.LDFLAGS = "x"`, "agent.env.LD_AUDIT"},
		"a runtime variable passed":    {`agent.env_pass = ["NODE_OPTIONS"]`, `agent.env.NODE_OPTIONS = "--max-old-space-size=9"`, "agent.env_pass[0]"},
		"a pattern over a hijack name": {`agent.env_pass = ["PYTHON*"]`, `agent.env_pass = ["PYTHONUNBUFFERED"]`, "agent.env_pass[3]"},
		"PATH with a relative part":    {`agent.env.PATH = "/usr/bin:bin"`, `agent.env.PATH = "/usr/bin:/bin"`, "agent.env.PATH"},
		"PATH with an empty part":      {`agent.env.PATH = "/usr/bin:"`, `agent.env.PATH = "/usr/bin"`, "agent.env.PATH"},
		"a layer nobody knows":         {`agent.degrade = ["netns"]`, `agent.degrade = ["idmap"]`, "agent.degrade[0]"},
		"the host's root as the root":  {`rootfs.source = "/"`, `rootfs.source = "host"`, "rootfs.source"},
		"a relative root":              {`rootfs.source = "img"`, `rootfs.source = "/srv/img"`, "rootfs.source"},
		"the home exposed":             {`rootfs.expose = ["~"]`, `rootfs.expose = ["~/go"]`, "rootfs.expose[0]"},
		"all homes exposed":            {`rootfs.expose = ["/home"]`, `rootfs.expose = ["/home/me/go"]`, "rootfs.expose[0]"},
		"sockets exposed":              {`rootfs.expose = ["/run/user"]`, `rootfs.expose = ["/srv/run"]`, "rootfs.expose[0]"},
		"devices exposed":              {`rootfs.expose = ["/dev"]`, `rootfs.expose = ["/development"]`, "rootfs.expose[0]"},
		"a mask with a bad bracket":    {`workspace.mask = ["[a"]`, `workspace.mask = ["[a]"]`, "workspace.mask"},
		"a workspace above":            {`workspace.path = "../x"`, `workspace.path = "x"`, "workspace.path"},
		"a workspace in the system":    {`workspace.path = "/usr/src"`, `workspace.path = "/src"`, "workspace.path"},
		"a writable workspace with globs": {`workspace.mode = "rw"`, "workspace.mode = \"rw\"\nagent.degrade = [\"late-masks\"]",
			"workspace.mode"},
		"a log whose files are too small": {`audit.rotate = "63KiB"`, `audit.rotate = "64KiB"`, "audit.rotate"},
		"logs kept for less than a day":   {`audit.retain = "23h"`, `audit.retain = "0"`, "audit.retain"},
		"a tmpfs without a size":          {mount(`type = "tmpfs"; target = "/a"`), mount(`type = "tmpfs"; target = "/a"; size = 1`), "mount[0].size"},
		"a bind without a source": {mount(`type = "bind"; target = "/a"`), mount(`type = "bind"; target = "/a"; source = "/b"`),
			"mount[0].source"},
		"a mount over /proc": {mount(`type = "tmpfs"; size = 1; target = "/proc/sys"`), mount(`type = "tmpfs"; size = 1; target = "/process"`), "mount[0].target"},
		"a mount over /dev":  {mount(`type = "tmpfs"; size = 1; target = "/dev"`), mount(`type = "tmpfs"; size = 1; target = "/dev/shm"`), "mount[0].target"},
		"a mount of a masked file": {mount(`type = "bind"; target = "/a"; source = "~/.ssh/config"`),
			mount(`type = "bind"; target = "/a"; source = "~/.sshx/config"`), "mount[0].source"},
		"a mount of what is above a masked file": {mount(`type = "bind"; target = "/a"; source = "~/.local"`),
			mount(`type = "bind"; target = "/a"; source = "~/.local/share/doc"`), "mount[0].source"},
		"a mount of a file that a glob masks": {mount(`type = "bind"; target = "/a"; source = "~/.bash_history"`),
			mount(`type = "bind"; target = "/a"; source = "~/.bash_helpers"`), "mount[0].source"},
		"options that contradict": {mount(`type = "bind"; target = "/a"; source = "/b"; options = ["ro", "rw"]`),
			mount(`type = "bind"; target = "/a"; source = "/b"; options = ["rw"]`), "mount[0].options"},
		"a secret in the clear":           {credential(`hosts = ["http://api.example.com:80"]; header = "x"`), credential(`hosts = ["http://127.0.0.1:80"]; header = "x"`), "credential[0].hosts[0]"},
		"a header with a space":           {credential(`hosts = ["a.example.com"]; header = "x key"`), credential(`hosts = ["a.example.com"]; header = "x-key"`), "credential[0].header"},
		"a header that frames":            {credential(`hosts = ["a.example.com"]; header = "Transfer-Encoding"`), credential(`hosts = ["a.example.com"]; header = "X-Encoding"`), "credential[0].header"},
		"a format with a line break":      {credential(`hosts = ["a.example.com"]; header = "x"; format = "{}\n"`), credential(`hosts = ["a.example.com"]; header = "x"; format = "t {}"`), "credential[0].format"},
		"basic without a user":            {credential(`hosts = ["a.example.com"]; as = "basic"`), credential(`hosts = ["a.example.com"]; as = "basic"; user = "u"`), "credential[0].user"},
		"a user with a colon":             {credential(`hosts = ["a.example.com"]; as = "basic"; user = "a:b"`), credential(`hosts = ["a.example.com"]; as = "basic"; user = "ab"`), "credential[0].user"},
		"a header for bearer":             {credential(`hosts = ["a.example.com"]; as = "bearer"; header = "x"`), credential(`hosts = ["a.example.com"]; as = "bearer"`), "credential[0].header"},
		"a query without its name":        {credential(`hosts = ["a.example.com"]; as = "query"`), credential(`hosts = ["a.example.com"]; as = "query"; query = "key"`), "credential[0].query"},
		"no hosts":                        {credential(`as = "bearer"`), credential(`as = "bearer"; hosts = ["a.example.com"]`), "credential[0].hosts"},
		"a base URL of many hosts":        {credential(`hosts = ["*.example.com"]; as = "bearer"; base_url_env = "URL"`), credential(`hosts = ["a.example.com"]; as = "bearer"; base_url_env = "URL"`), "credential[0].base_url_env"},
		"a path without a base URL":       {credential(`hosts = ["a.example.com"]; as = "bearer"; base_url_path = "/v1"`), credential(`hosts = ["a.example.com"]; as = "bearer"; base_url_env = "URL"; base_url_path = "/v1"`), "credential[0].base_url_path"},
		"a placeholder with a quote":      {credential(`hosts = ["a.example.com"]; as = "bearer"; placeholder = '"{}'`), credential(`hosts = ["a.example.com"]; as = "bearer"; placeholder = 'sk-{}'`), "credential[0].placeholder"},
		"a variable that is hijacked":     {credential(`hosts = ["a.example.com"]; as = "bearer"; env = "LD_PRELOAD"`), credential(`hosts = ["a.example.com"]; as = "bearer"; env = "KEY"`), "credential[0].env"},
		"a variable that is agentbox's":   {credential(`hosts = ["a.example.com"]; as = "bearer"; env = "https_proxy"`), credential(`hosts = ["a.example.com"]; as = "bearer"; env = "HTTPS_KEY"`), "credential[0].env"},
		"a header without its name":       {credential(`hosts = ["a.example.com"]`), credential(`hosts = ["a.example.com"]; header = "x"`), "credential[0].header"},
		"a variable that is set":          {credential(`hosts = ["a.example.com"]; as = "bearer"; env = "KEY"`) + "\n[agent]\nenv.KEY = \"x\"", credential(`hosts = ["a.example.com"]; as = "bearer"; env = "KEY"`) + "\n[agent]\nenv.KEY2 = \"x\"", "credential[0].env"},
		"a secret that env_pass hands in": {credential(`hosts = ["a.example.com"]; as = "bearer"`) + "\n[agent]\nenv_pass = [\"K\"]", credential(`hosts = ["a.example.com"]; as = "bearer"; env = "K"`) + "\n[agent]\nenv_pass = [\"K\"]", "credential[0].source"},
		"a price that is none":            {"[[price]]\nmodel = 'm'\ninput = 1", "[[price]]\nmodel = 'm'\ninput = 1\noutput = 2", "price[0]"},
		"another engine":                  {`runtime = "runc"`, `runtime = "libcontainer"`, "runtime"},
		"another schema":                  {`schema = 2`, `schema = 1`, "schema"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := checked(t, tc.bad).Fatal()
			if len(bad) != 1 || bad[0].File != "box.toml" {
				t.Errorf("%s\nwant one finding about box.toml, got %v", tc.bad, bad)
			}
			if good := checked(t, tc.good).Fatal(); len(good) > 0 {
				t.Errorf("%s\nwant no finding, got %v", tc.good, good)
			}
		})
	}
}

func TestWhatIsNotBuiltIsRefusedByName(t *testing.T) {
	data, err := os.ReadFile("../testdata/profiles/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for _, f := range checked(t, string(data)) {
		if !strings.Contains(f.Message, "not available in this version") {
			t.Errorf("%v", f)
		}
		refused[f.Key] = true
	}
	for _, k := range Schema() {
		want := !k.Built && !k.inRow()
		path := k.Path
		if k.Type == TypeRows {
			path += "[0]"
		}
		if want != refused[path] {
			t.Errorf("%s: refused %v, want %v", path, refused[path], want)
		}
	}
}

func TestGoodProfilesPass(t *testing.T) {
	def, _ := Preset("default")
	for _, name := range []string{"minimal", "project", "spellings"} {
		data, err := os.ReadFile("../testdata/profiles/" + name + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		l := Layer{Name: name, Kind: User, Trusted: name != "project", Data: data}
		e, fs := Merge([]Layer{def, l}, nil)
		if fs = append(fs, Check(e)...); len(fs) > 0 {
			t.Errorf("%s: %v", name, fs)
		}
	}
}

func TestNoMessageRepeatsASecret(t *testing.T) {
	const secret = "hunter2-sk-ant-api03-abcdefghijklmnop"
	for name, data := range map[string]string{
		"a text without quotes":        "credential = " + secret,
		"a key alone":                  secret,
		"a key twice":                  secret + " = 1\n" + secret + " = 2",
		"a text that does not end":     "a = \"" + secret,
		"text after a value":           "a = 1 " + secret,
		"a number that is none":        "a = 1_" + secret,
		"a date that is none":          "a = 2024-99-99T" + secret,
		"a secret where a source goes": "[[credential]]\nname = \"a\"\nheader = \"x\"\nhosts = [\"a.example.com\"]\nsource = \"" + secret + "\"",
		"a secret in a format":         "[[credential]]\nname = \"a\"\nheader = \"x\"\nhosts = [\"a.example.com\"]\nsource = \"env:A\"\nformat = \"" + secret + "\"",
		"a secret in a variable":       "agent.env.A = \"" + secret + "\"",
		"a secret in a server":         "[[mcp]]\nname = \"a\"\ncommand = [\"x\"]\ntools = [\"t\"]\nenv.A = \"" + secret + "\"",
		"a password in a proxy":        "network.upstream_proxy = \"http://me:" + secret + "@proxy\"",
	} {
		t.Run(name, func(t *testing.T) {
			fs := checked(t, data)
			if len(fs) == 0 {
				t.Error("nothing was found")
			}
			for _, f := range fs {
				if strings.Contains(f.String()+f.Hint, "hunter2") {
					t.Errorf("%v", f)
				}
			}
			_, untrusted := over(t, data, false)
			if strings.Contains(untrusted.Error(), "hunter2") {
				t.Errorf("%v", untrusted)
			}
		})
	}
}

func TestCheckAtKnowsWhereItIs(t *testing.T) {
	mount := func(source, target string) string {
		return "[[mount]]\ntype = \"bind\"\nsource = \"" + source + "\"\ntarget = \"" + target + "\""
	}
	for name, tc := range map[string]struct{ data, want string }{
		"a mask and a source are written differently": {mount("/data/me/.ssh", "/a"), `"/data/me/.ssh" would uncover what the mask "~/.ssh" hides`},
		"the workspace a second time":                 {mount("/src/p/sub", "/a"), "shows the workspace a second time"},
		"the home as a source":                        {mount("/data", "/a"), "holds your whole home"},
		"a mount over the workspace":                  {mount("/opt/x", "/src"), "would lie over the workspace"},
		"a mount over a masked file":                  {mount("/opt/x", "/src/p/a/.env"), `would uncover what the mask ".env*" hides`},
		"a mount elsewhere in the workspace":          {mount("/opt/x", "/src/p/vendor"), ""},
		"a mount beside it":                           {mount("/opt/x", "/src/project"), ""},
		"the home exposed":                            {`rootfs.expose = ["/data/me"]`, "holds your whole home"},
		"a log that the agent could write":            {`audit.dir = "/src/p/logs"`, "lies in the workspace"},
		"a directory of the home":                     {`rootfs.expose = ["/data/me/go"]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			strict, _ := Preset("strict")
			e, _ := Merge([]Layer{strict, user("box.toml", tc.data)}, nil)
			fs := CheckAt(e, "/src/p", "/data/me")
			if tc.want == "" && len(fs) > 0 || tc.want != "" && !strings.Contains(fs.Error(), tc.want) {
				t.Errorf("got %v, want %q", fs, tc.want)
			}
		})
	}
	strict, _ := Preset("strict")
	e, _ := Merge([]Layer{strict}, nil)
	if fs := CheckAt(e, "/tmp/p", "/tmp/me"); len(fs) > 0 {
		t.Errorf("a project below the preset's own /tmp: %v", fs)
	}
	if fs := CheckAt(e, "/tmp", "/data/me"); !strings.Contains(fs.Error(), "would lie over the workspace") {
		t.Errorf("/tmp as the project: %v", fs)
	}
	if fs := CheckAt(e, "/data", "/data/me"); !strings.Contains(fs.Error(), "workspace.path") {
		t.Errorf("a workspace above the home: %v", fs)
	}
}

// What has no effect is said, and is no error.
func TestCredentialsAndBudgetsWithoutAnEffect(t *testing.T) {
	const key = "[[credential]]\nname = 'k'\nsource = 'env:K'\nas = 'bearer'\nhosts = ['a.example.com']\n"
	for name, tc := range map[string]struct{ profile, key string }{
		"a credential without a network":        {key, "credential[0].hosts[0]"},
		"a credential for a host not allowed":   {"network.mode = 'allowlist'\n" + key, "credential[0].hosts[0]"},
		"a credential for an allowed host":      {"network.mode = 'allowlist'\nnetwork.allow = ['a.example.com']\n" + key, ""},
		"a credential below an allowed name":    {"network.mode = 'allowlist'\nnetwork.allow = ['*.example.com']\n" + key, ""},
		"a budget without a network":            {"budget.usd = 1", "budget.usd"},
		"a budget towards which nothing counts": {"network.mode = 'allowlist'\nbudget.tokens = 1", "budget.tokens"},
		"a budget for an allowed model":         {"network.mode = 'allowlist'\nnetwork.allow = ['api.anthropic.com']\nbudget.tokens = 1", ""},
	} {
		got := checked(t, tc.profile)
		if len(got.Fatal()) > 0 || (tc.key == "") != (len(got) == 0) || tc.key != "" && got[0].Key != tc.key {
			t.Errorf("%s: %v", name, got)
		}
	}
}
