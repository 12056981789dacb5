package profile

import "testing"

func TestHostsThatAreFine(t *testing.T) {
	for _, host := range []string{
		"api.github.com", "api.github.com:8443", "*.example.com", "*.example.com:443", "localhost", "10.0.0.1", "10.0.0.1:80",
		"[::1]:80", "[::1]", "2001:db8::1", "xn--bcher-kva.example", "my_service.internal", "@npm", "@cargo",
	} {
		if w := hostProblem(host, false); w != nil {
			t.Errorf("%q: %s", host, w.msg)
		}
	}
	for _, host := range []string{"*", "10.0.0.0/8", "fe80::/10", "*.com"} {
		if w := hostProblem(host, true); w != nil {
			t.Errorf("deny %q: %s", host, w.msg)
		}
	}
}

func TestHostsThatAreNot(t *testing.T) {
	for _, host := range []string{
		"", "*", "*.", "**.example.com", "*.com", "*.co.uk", "*.localhost", "a b", "EXAMPLE.com", "example.com.",
		"http://example.com", "example.com/path", "example.com:0", "example.com:65536", "example.com:+80", "me@example.com",
		"[::1", "[::1]80", "[1.2.3.4]:80", "10.0.0.0/8", "@", "@brew",
	} {
		if w := hostProblem(host, false); w == nil || w.warning {
			t.Errorf("%q was let through", host)
		}
	}
}

func TestOverlaps(t *testing.T) {
	for name, tc := range map[string]struct {
		path, mask string
		want       bool
	}{
		"the same":               {"~/.ssh", "~/.ssh", true},
		"below":                  {"~/.ssh/id", "~/.ssh", true},
		"above":                  {"~/.config", "~/.config/gh", true},
		"beside":                 {"~/.config/nvim", "~/.config/gh", false},
		"a longer name":          {"~/.sshd", "~/.ssh", false},
		"a glob":                 {"~/.zsh_history", "~/.*_history", true},
		"below two stars":        {"/srv/a/b/c.pem", "/srv/**/*.pem", true},
		"the root is above":      {"/", "/etc/shadow", true},
		"another way to write":   {"/home/me/.ssh", "~/.ssh", false},
		"a mask that is broken":  {"/a", "/[", true},
		"a directory's pattern":  {"~/.aws", "~/.aws/", true},
		"something else, deeply": {"/opt/a/b", "/srv/a/b", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Overlaps(tc.path, tc.mask); got != tc.want {
				t.Errorf("Overlaps(%q, %q) = %v", tc.path, tc.mask, got)
			}
		})
	}
}
