package seccomp

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the tables and golden files")

// The tables are golden files of golang.org/x/sys/unix: a new version of it shows here which calls are new.
func TestTablesAreThoseOfTheKernelHeaders(t *testing.T) {
	for file, arch := range map[string]string{"table_x86_64.go": "amd64", "table_aarch64.go": "arm64"} {
		want := renderTable(t, arch)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not up to date (-want +got); run the tests with -update:\n%s", file, diff)
		}
	}
}

func renderTable(t *testing.T, arch string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "golang.org/x/sys/unix").Output()
	if err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "zsysnum_linux_"+arch+".go"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "package seccomp\n\n// names%s are the system calls of %s by number, as golang.org/x/sys/unix has them.\n",
		strings.ToUpper(arch), arch)
	fmt.Fprintf(&out, "// Rewritten by this package's tests with -update.\nvar names%s = [...]string{", strings.ToUpper(arch))
	width := 999
	for _, m := range regexp.MustCompile(`\tSYS_(\w+) += (\d+)`).FindAllStringSubmatch(string(header), -1) {
		if m[1] == "ARCH_SPECIFIC_SYSCALL" { // the first of a range, not a call
			continue
		}
		nr, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		entry := fmt.Sprintf("%d: %q, ", nr, strings.ToLower(m[1]))
		if width += len(entry); width > 110 {
			out.WriteString("\n")
			width = len(entry)
		}
		out.WriteString(entry)
	}
	out.WriteString("\n}\n")
	src, err := format.Source(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return src
}
