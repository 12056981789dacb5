package cli

import (
	"testing"

	"agentbox/internal/audit"
)

// A log that is not there has no path: whoever gets one reads it.
func TestFindLogOfNobody(t *testing.T) {
	dir := t.TempDir()
	if path, err := findLog(dir, "1shfk5z20mvc"); err == nil || path != "" {
		t.Errorf("%q, %v", path, err)
	}
	log, err := audit.Create(dir, audit.Options{Session: "1shfk5z20mvc"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if path, err := findLog(dir, "1shfk5"); err != nil || path != audit.Path(dir, "1shfk5z20mvc") {
		t.Errorf("%q, %v", path, err)
	}
}
