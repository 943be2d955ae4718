// Package option is how an option of one package here is also one of another:
// both know Seal, and nobody else can name it.
package option

// Seal is the argument of methods that mark an option.
type Seal struct{ _ [0]func() }

// TaskInfo is the key of what antflow.TaskFrom tells, a *antflow.TaskInfo. A
// context that stands for a part of a task answers it, too.
type TaskInfo struct{}

// A Stage is an option of a pipeline's stage.
type Stage interface{ StageOption(Seal) }

// Status is the key of the task or item whose status antflow.SetStatus sets, a
// StatusSetter.
type Status struct{}

// A StatusSetter has a status.
type StatusSetter interface{ SetStatus(text string) }
