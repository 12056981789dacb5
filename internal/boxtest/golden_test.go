package boxtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	os.WriteFile(path, []byte("{\n  \"b\": \"<DIR>/x\",\n  \"a\": 1\n}\n"), 0o600)
	text := json.RawMessage(`{"b":"/tmp/123/x","a":1}`)
	Golden(t, path, text, "/tmp/123", "<DIR>")
	Golden(t, path, []byte(text), "/tmp/123", "<DIR>")
	if r := record(t, func(r *recorder) { Golden(r, path, text) }); len(r.errors) != 1 || !strings.Contains(r.errors[0], "/tmp/123/x") {
		t.Errorf("errors: %v", r.errors)
	}
	if r := record(t, func(r *recorder) { Golden(r, path+".none", text) }); !strings.Contains(r.fatal, "-update writes it") {
		t.Errorf("a golden file that is missing: %q", r.fatal)
	}
}
