package boxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// HostileTexts are those of testdata/hostile/texts, which says what they are. None is longer than a file's name may be.
func HostileTexts(t testing.TB) (list []string) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	data, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../testdata/hostile/texts"))
	if err != nil {
		t.Fatal(err)
	}
	for n, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text, err := strconv.Unquote(line)
		if err == nil && len(text) > 255 {
			err = fmt.Errorf("%d bytes", len(text))
		}
		if err != nil {
			t.Fatalf("testdata/hostile/texts, line %d: %v", n+1, err)
		}
		list = append(list, text)
	}
	return list
}
