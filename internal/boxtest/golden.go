package boxtest

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Golden compares got, whole and as indented JSON, with the file at path. A
// []byte or a json.RawMessage is JSON already; the order of its keys is kept. The
// pairs of old and new text stand for what differs from run to run. With -update
// the file is rewritten.
func Golden(t testing.TB, path string, got any, replace ...string) {
	t.Helper()
	text, err := goldenText(got)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	text = strings.NewReplacer(replace...).Replace(text)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text, "\n")); diff != "" {
		t.Errorf("%s (-golden +got; -update rewrites it):\n%s", path, diff)
	}
}

func goldenText(got any) (string, error) {
	if data, ok := got.([]byte); ok {
		got = json.RawMessage(data)
	}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(got)
	return text.String(), err
}
