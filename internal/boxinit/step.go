package boxinit

// A Step is one thing the box's side does before the agent runs.
type Step uint32

// The steps, with the values of boxinit.h.
const (
	StepInstructions Step = iota + 1
	StepProtect
	StepMounts
	StepOverlay
	StepHome
	StepFork
	StepGroup
	StepTerminal
	StepStreams
	StepUserns
	StepBounding
	StepIDs
	StepCaps
	StepLimits
	StepDir
	StepNoNewPrivs
	StepLandlock
	StepDescriptors
	StepSeccomp
	StepPrograms
	StepExec
)

var layers = map[Step]string{
	StepInstructions: "instructions",
	StepProtect:      "pid 1",
	StepMounts:       "mounts",
	StepOverlay:      "overlay",
	StepHome:         "home",
	StepFork:         "process limit",
	StepGroup:        "control group",
	StepTerminal:     "terminal",
	StepStreams:      "streams",
	StepUserns:       "user namespace",
	StepBounding:     "capability bounding set",
	StepIDs:          "uid mapping",
	StepCaps:         "capabilities",
	StepLimits:       "limits",
	StepDir:          "working directory",
	StepNoNewPrivs:   "no_new_privs",
	StepLandlock:     "landlock",
	StepDescriptors:  "descriptors",
	StepSeccomp:      "seccomp",
	StepPrograms:     "programs",
	StepExec:         "command",
}

// Layer names the layer of the box that a step sets up, in the words of the profile's degrade list where it has one.
func (s Step) Layer() string {
	if l, ok := layers[s]; ok {
		return l
	}
	return "unknown step"
}
