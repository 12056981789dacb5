package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"agentbox/internal/audit"
)

// number sets every number of a record.
func number(v reflect.Value, i int64, u uint64, f float64) {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(i)
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(u)
	case reflect.Float64:
		v.SetFloat(f)
	case reflect.Struct:
		for k := range v.NumField() {
			number(v.Field(k), i, u, f)
		}
	case reflect.Slice:
		if v.Type() != reflect.TypeFor[json.RawMessage]() {
			for k := range v.Len() {
				number(v.Index(k), i, u, f)
			}
		}
	}
}

// Whoever writes a log by hand may write any number that JSON has. There is a report of it in every form, with numbers that
// are some.
func TestHostileNumbers(t *testing.T) {
	for name, test := range map[string]struct {
		i int64
		u uint64
		f float64
	}{
		"the largest":     {math.MaxInt64, math.MaxUint64, math.MaxFloat64},
		"the smallest":    {math.MinInt64, 0, -math.MaxFloat64},
		"next to nothing": {-1, 1, math.SmallestNonzeroFloat64},
	} {
		t.Run(name, func(t *testing.T) {
			var list []happening
			for range 3 {
				for _, h := range everything(t, "x") {
					number(reflect.ValueOf(h.event).Elem(), test.i, test.u, test.f)
					list = append(list, h)
				}
			}
			for at := range list {
				list[at].at = float64(at)
			}
			r := told(t, list)
			r.Verification = audit.Report{Verdict: audit.Sealed}
			var page, data bytes.Buffer
			if err := r.WriteHTML(&page); err != nil {
				t.Error(err)
			}
			if err := r.WriteJSON(&data); err != nil || !json.Valid(data.Bytes()) {
				t.Error(err)
			}
			for form, text := range map[string]string{"page": page.String(), "text": asText(t, r)} {
				for _, bad := range []string{"NaN", "Inf", "%!"} {
					if i := strings.Index(text, bad); i >= 0 {
						t.Errorf("%s: …%q…", form, text[max(0, i-60):min(len(text), i+60)])
					}
				}
			}
		})
	}
}

// How a program ended that has no row any more is not told of what its process ran before; and one that was refused is among
// the refusals all the same.
func TestEndOfAProgramWithoutARow(t *testing.T) {
	start := func(pid int, path string) happening {
		return happening{1, &audit.ProgramStart{PID: pid, Path: audit.Text(path), Argv: []audit.Text{audit.Text(path)}}}
	}
	list := []happening{start(1, "/bin/sh")}
	for i := range maxRows {
		list = append(list, start(2, fmt.Sprintf("/bin/%d", i)))
	}
	list = append(list, start(1, "/bin/false"), happening{2, &audit.ProgramEnd{PID: 1, How: "exited", ExitCode: 1, Microseconds: 9}},
		happening{3, &audit.ProgramStart{PID: 3, Path: "/bin/late", Refused: "limits.execs"}})
	r := told(t, list)
	if r.Programs.Failed != 1 || r.Omitted.Programs != 3 || len(r.Refusals) != 1 || r.Refusals[0].Target != "/bin/late" {
		t.Errorf("%d failed, %d have no row, refused: %+v", r.Programs.Failed, r.Omitted.Programs, r.Refusals)
	}
	for _, p := range r.Programs.Groups {
		if p.Path == "/bin/sh" && p.Failed != 0 {
			t.Errorf("%+v", p)
		}
	}
}
