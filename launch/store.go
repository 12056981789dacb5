package launch

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// planFile keeps the plan of a running box for those who join it.
const planFile = "plan.json"

type stored struct {
	Plan Plan   `json:"plan"`
	Host Host   `json:"host"`
	Base uint32 `json:"base"` // the first host id of a box of root
}

func (p Plan) save(dir string, base uint32) error {
	data, err := json.Marshal(stored{p, p.host, base})
	if err != nil {
		return fmt.Errorf("the plan: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, planFile), data, 0o600)
}

// LoadPlan reads the plan of a running box from its session's directory. Command, Dir, Env and Terminal may be
// replaced before Join; the rest is the posture of the box.
func LoadPlan(dir string) (Plan, error) {
	var s stored
	data, err := os.ReadFile(filepath.Join(dir, planFile))
	if err != nil {
		return Plan{}, fmt.Errorf("the box's plan: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return Plan{}, fmt.Errorf("the box's plan: %w", err)
	}
	s.Plan.host, s.Plan.base = s.Host, s.Base
	return s.Plan, nil
}
