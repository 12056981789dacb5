package profile

import (
	"strings"
	"testing"
)

func TestArchivesAndTheirNames(t *testing.T) {
	for text, want := range map[string]string{
		"/mnt/logs":                       "dir:/mnt/logs",
		"dir:/mnt/logs":                   "dir:/mnt/logs",
		"~/logs":                          "dir:~/logs",
		"command:/bin/a  b   c":           "command:/bin/a b c",
		"https://h.example.com/":          "https://h.example.com/",
		"https://h.example.com:8443/a/b/": "https://h.example.com:8443/a/b/",
		"http://127.0.0.1:9000/":          "http://127.0.0.1:9000/",
		"http://[::1]:9000/":              "http://[::1]:9000/",
		"s3://logs?region=r-1":            "s3://logs?region=r-1",
		"s3://logs/a/?endpoint=https://s3.example.com/": "s3://logs/a?endpoint=https%3A%2F%2Fs3.example.com&region=us-east-1",
		"":                                 "",
		"/":                                "dir:/",
		"logs":                             "",
		"/mnt/../logs":                     "",
		"command:":                         "",
		"command:a":                        "",
		"command:./a":                      "",
		"https://":                         "",
		"https:///a/":                      "",
		"https://h.example.com":            "",
		"https://u@h.example.com/":         "",
		"https://h.example.com/#x":         "",
		"https://h.example.com/?":          "",
		"http://localhost/":                "",
		"http://127.0.0.1.nip.io/":         "",
		"http://10.0.0.1/":                 "",
		"HTTPS://h.example.com/":           "",
		"s3://logs":                        "",
		"s3://l?region=r":                  "",
		"s3://logs/a//b?region=r":          "",
		"s3://logs/a/../b?region=r":        "",
		"s3://logs/a b?region=r":           "",
		"s3://logs:80?region=r":            "",
		"s3://logs?region=r&region=s":      "",
		"s3://logs?region=r&key=x":         "",
		"s3://logs?endpoint=https://h/x":   "",
		"s3://logs?endpoint=https://u:p@h": "",
		"s3://logs?endpoint=http://h":      "",
		"file:///mnt/logs":                 "",
	} {
		a, err := ParseArchive(text)
		if (err == nil) != (want != "") || a.String() != want {
			t.Errorf("%q is %q, %v", text, a, err)
		}
	}
}

func TestArchivesInTheirPlace(t *testing.T) {
	for name, tc := range map[string]struct{ archive, want string }{
		"a directory elsewhere":      {"/mnt/logs", ""},
		"one in the workspace":       {"/src/p/logs", "lies in the workspace"},
		"one beside the workspace":   {"/src/project", ""},
		"one in the logs":            {"~/logs/old", "lies in audit.dir"},
		"one beside the logs":        {"~/logs-old", ""},
		"a program elsewhere":        {"command:/usr/bin/x", ""},
		"a program of the workspace": {"command:/src/p/x", "lies in the workspace"},
		"a server":                   {"https://h.example.com/src/p/", ""},
	} {
		strict, _ := Preset("strict")
		e, _ := Merge([]Layer{strict, user("box.toml", "[audit]\ndir = \"~/logs\"\narchive = \""+tc.archive+"\"")}, nil)
		if fs := CheckAt(e, "/src/p", "/data/me"); (tc.want == "") != (len(fs) == 0) || !strings.Contains(fs.Error(), tc.want) {
			t.Errorf("%s: %v", name, fs)
		}
	}
}

// What an archive is called is read as the same one, and holds no password.
func FuzzParseArchive(f *testing.F) {
	for _, s := range []string{"/a", "dir:~/a", "command:/a b", "https://h:1/a/", "https://u:hunter2@h/", "s3://bucket/p?endpoint=https://h&region=r", "s3://b?x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseArchive(s)
		if err != nil {
			if a.String() != "" {
				t.Errorf("%q is refused, and is %q", s, a)
			}
			return
		}
		again, err := ParseArchive(a.String())
		if err != nil || again.String() != a.String() {
			t.Errorf("%q is %q, which is %q, %v", s, a, again, err)
		}
		if a.Kind == ArchiveHTTP && (strings.Contains(a.URL, "@") && !strings.Contains(a.URL, "/") || !strings.HasSuffix(a.URL, "/")) {
			t.Errorf("%q is %q", s, a)
		}
	})
}
