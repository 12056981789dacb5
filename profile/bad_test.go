package profile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// everything returns what a person would be told about one file, laid over the
// preset it would usually lie over.
func everything(name string, data []byte) Findings {
	base := "default"
	if name == "late-masks.toml" {
		base = "strict"
	}
	preset, _ := Preset(base)
	l := Layer{Name: name, Kind: User, Trusted: true, Data: data}
	if strings.HasPrefix(name, "untrusted-") {
		l.Kind, l.Trusted = Project, false
	}
	e, fs := Merge([]Layer{preset, l}, nil)
	return append(fs, Check(e)...)
}

func TestWrongProfilesAndTheirMessages(t *testing.T) {
	files, err := filepath.Glob("../testdata/profiles/bad/*.toml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d wrong profiles, %v", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			fs := everything(filepath.Base(path), data)
			if len(fs.Fatal()) == 0 {
				t.Error("nothing fatal was found")
			}
			var b strings.Builder
			for _, f := range fs {
				if f.Warning {
					b.WriteString("warning: ")
				}
				b.WriteString(f.String() + "\n")
				if f.Hint != "" {
					b.WriteString("    hint: " + f.Hint + "\n")
				}
			}
			golden(t, strings.TrimSuffix(path, ".toml")+".err", []byte(b.String()))
		})
	}
}
