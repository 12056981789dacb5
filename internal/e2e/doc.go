// Package e2e tests the built agentbox binary from outside, as root and as
// ordinary users: what a box is, what it refuses, how it fails and what it leaves.
// It exports nothing.
package e2e
