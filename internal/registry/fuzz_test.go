package registry

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// sound fails where a result is not a host and a port, or where a secret is in an error.
func sound(t *testing.T, found endpoints, err error) {
	t.Helper()
	if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.ContainsAny(err.Error(), "\x1b\n\r")) {
		t.Fatalf("error %q", err)
	}
	for e := range found {
		host, ok := normalHost(e.Host)
		_, notAddr := netip.ParseAddr(e.Host)
		if !ok || host != e.Host || e.Port == 0 || notAddr != nil && strings.ContainsAny(e.Host, ":/@%?# \n*[]") {
			t.Fatalf("endpoint %+v", e)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://me:hunter2@registry.test:8443/x", "ssh://git@[2001:db8::1]", "file:///x", "http://bücher.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseURL(text, webAndSSH)
		if (err == nil) == (e == Endpoint{}) || err != nil && !errors.Is(err, errNoHost) && !errors.Is(err, errLocal) {
			t.Fatalf("%+v, %v", e, err)
		}
		if err == nil {
			sound(t, endpoints{e: true}, nil)
		}
	})
}

func FuzzGo(f *testing.F) {
	f.Add("https://me:hunter2@a.test|b.test,direct", "sum.test+0123abcd+AbCd= https://mirror.test")
	f.Fuzz(func(t *testing.T, proxy, sumdb string) {
		found := endpoints{}
		sound(t, found, addGoproxy(found, proxy))
		sound(t, found, addGosumdb(found, sumdb))
	})
}

func FuzzNpm(f *testing.F) {
	f.Add([]byte(`{"registry": "https://npm.test/", "@me:registry": "http://me:hunter2@me.test:81/x", "userconfig": "/x"}`))
	f.Fuzz(func(t *testing.T, out []byte) {
		config, err := parseNpm(out)
		if err == nil && len(config.found) == 0 {
			t.Fatal("neither an endpoint nor an error")
		}
		if !strings.Contains(string(out), "hunter2:registry") { // a scope's name is told
			sound(t, config.found, err)
		}
	})
}

func FuzzPip(f *testing.F) {
	f.Add([]byte("default-index='https://own.test'\ndefault-files=\"https://files.test\"\nglobal.extra-index-url='\\nhttps://me:hunter2@a.test'\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		config, err := parsePip(out)
		sound(t, nil, err)
		if err == nil {
			found, err := config.endpoints()
			sound(t, found, err)
		}
	})
}

func FuzzCargo(f *testing.F) {
	f.Add("[source.crates-io]\nreplace-with = 'a'\n[source.a]\nregistry = 'sparse+https://me:hunter2@a.test'\n[registries.b]\nindex = 'ssh://b.test'", []byte(`{"dl": "https://files.test/{crate}"}`))
	f.Fuzz(func(t *testing.T, text string, index []byte) {
		config, err := parseCargo(text)
		if err == nil {
			var found endpoints
			found, _, err = config.endpoints()
			sound(t, found, nil)
		}
		if !strings.Contains(text, "hunter2") || strings.Contains(text, "hunter2@") {
			sound(t, nil, err)
		}
		if i, err := parseIndex("index.test", index); err == nil && i.download != (Endpoint{}) {
			sound(t, endpoints{i.download: true}, nil)
		}
	})
}

func FuzzComplaint(f *testing.F) {
	f.Add("npm error https://me:hunter2@npm.test \x1b[2J")
	f.Fuzz(func(t *testing.T, text string) {
		line := firstLine(text)
		if len(line) > 4*maxLine || strings.ContainsAny(line, "\x1b\n\r@=") {
			t.Fatalf("%q", line)
		}
	})
}
