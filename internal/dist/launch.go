package dist

import (
	"fmt"
	"strconv"
)

// Launch is what a process is among those that its launcher started.
type Launch struct {
	Launcher   string `json:"launcher"` // "none" for a plain start
	Rank       int    `json:"rank"`
	World      int    `json:"world"`       // number of ranks; 1 for a plain start
	LocalRank  int    `json:"local_rank"`  // on this machine; -1: not known
	LocalWorld int    `json:"local_world"` // ranks on this machine; 0: not known
	Master     string `json:"master,omitempty"`
	MasterPort int    `json:"master_port,omitempty"`
}

// launcher names the variables by which one kind of launcher tells a process what it is. Of several names the first one that is set counts.
type launcher struct {
	name                  string
	rank                  string
	world                 []string
	localRank, localWorld string
}

// launchers are listed from the inside: of two that both set their variables, the later one started the earlier one.
var launchers = []launcher{
	{"torchrun", "RANK", []string{"WORLD_SIZE"}, "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
	{"Open MPI", "OMPI_COMM_WORLD_RANK", []string{"OMPI_COMM_WORLD_SIZE"}, "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
	{"MPICH", "PMI_RANK", []string{"PMI_SIZE"}, "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
	{"Slurm", "SLURM_PROCID", []string{"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"}, "SLURM_LOCALID", ""},
	{"Kubernetes", "JOB_COMPLETION_INDEX", []string{"WORLD_SIZE"}, "", ""},
}

// claim is what one launcher's variables say, with the names of those that say it.
type claim struct {
	Launch
	rankName, worldName string
}

// environment reads numbers from variables; an empty one counts as not set.
type environment func(name string) string

func (e environment) number(name string) (int, bool, error) {
	text := e(name)
	if name == "" || text == "" {
		return 0, false, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<20 {
		return 0, false, fmt.Errorf("%s is %q: not a number from 0 to %d", name, text, 1<<20)
	}
	return n, true, nil
}

// FromEnv reads what the launcher's variables say; get is os.Getenv. Variables that contradict each other are an error that names both.
// A launcher that started another one, such as srun that runs torchrun once on each machine, is no contradiction.
func FromEnv(get func(string) string) (Launch, error) {
	env := environment(get)
	var claims []claim
	for _, l := range launchers {
		c, ok, err := env.claim(l)
		if err != nil {
			return Launch{}, err
		}
		if ok {
			claims = append(claims, c)
		}
	}
	if len(claims) == 0 {
		return env.alone()
	}
	inner := claims[0]
	for _, outer := range claims[1:] {
		if err := inner.within(outer); err != nil {
			return Launch{}, err
		}
	}
	if err := env.checkRest(inner); err != nil {
		return Launch{}, err
	}
	inner.Master = env("MASTER_ADDR")
	var err error
	inner.MasterPort, _, err = env.number("MASTER_PORT")
	return inner.Launch, err
}

// alone is a process that no launcher numbered. A size without a number is a launch that went wrong, not a single process.
func (e environment) alone() (Launch, error) {
	for _, name := range []string{"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"} {
		if n, ok, err := e.number(name); err != nil || ok && n > 1 {
			return Launch{}, orElse(err, "%s is %d, and no variable says which of these ranks this process is", name, n)
		}
	}
	if n, ok, err := e.number("PMIX_RANK"); err != nil || ok && n > 0 {
		return Launch{}, orElse(err, "PMIX_RANK is %d, and no variable says how many ranks there are; start with mpirun or srun", n)
	}
	return Launch{Launcher: "none", World: 1, LocalRank: -1}, nil
}

func orElse(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return fmt.Errorf(format, args...)
}

// claim reads one launcher's variables; false: it did not start this process as a rank.
func (e environment) claim(l launcher) (claim, bool, error) {
	c := claim{Launch: Launch{Launcher: l.name, LocalRank: -1}, rankName: l.rank}
	var ok bool
	var err error
	if c.Rank, ok, err = e.number(l.rank); err != nil || !ok || e.independent(l) {
		return c, false, err
	}
	for _, c.worldName = range l.world {
		if c.World, ok, err = e.number(c.worldName); err != nil || ok {
			break
		}
	}
	switch {
	case err != nil:
		return c, false, err
	case !ok:
		return c, false, fmt.Errorf("%s is %d and %s is not set", c.rankName, c.Rank, l.world[len(l.world)-1])
	case c.World < 1 || c.Rank >= c.World:
		return c, false, fmt.Errorf("%s is %d and %s is %d: ranks are numbered from 0", c.rankName, c.Rank, c.worldName, c.World)
	}
	if n, ok, err := e.number(l.localWorld); err != nil {
		return c, false, err
	} else if ok {
		if c.LocalWorld = n; n < 1 || n > c.World {
			return c, false, fmt.Errorf("%s is %d and %s is %d", l.localWorld, n, c.worldName, c.World)
		}
	}
	if n, ok, err := e.number(l.localRank); err != nil {
		return c, false, err
	} else if ok {
		switch c.LocalRank = n; {
		case c.LocalWorld > 0 && n >= c.LocalWorld:
			return c, false, fmt.Errorf("%s is %d and %s is %d: local ranks are numbered from 0", l.localRank, n, l.localWorld, c.LocalWorld)
		case n > c.Rank:
			return c, false, fmt.Errorf("%s is %d and %s is %d: the rank on a machine is never above the rank", l.localRank, n, l.rank, c.Rank)
		}
	}
	return c, true, nil
}

// independent reports that a launcher's variables are there but number no ranks: those of an sbatch script that runs prm without srun,
// and those of a Kubernetes job whose pods know nothing of each other.
func (e environment) independent(l launcher) bool {
	switch l.name {
	case "Slurm":
		return e("SLURM_JOB_ID") != "" && e("SLURM_STEP_ID") == ""
	case "Kubernetes":
		return e("WORLD_SIZE") == "" || e("RANK") != ""
	}
	return false
}

// within checks that an outer launcher may have started the inner one: it has the same ranks, or fewer processes, one of which started this
// rank and lower ones.
func (c claim) within(outer claim) error {
	switch {
	case outer.World == 1, outer.World < c.World && outer.Rank <= c.Rank:
		return nil
	case outer.World != c.World:
		return fmt.Errorf("%s is %d and %s is %d: unset the variables of the launcher that did not start the ranks",
			c.worldName, c.World, outer.worldName, outer.World)
	case outer.Rank != c.Rank:
		return fmt.Errorf("%s is %d and %s is %d, both of %d ranks: unset the variables of the launcher that did not start them",
			c.rankName, c.Rank, outer.rankName, outer.Rank, c.World)
	}
	return nil
}

// checkRest compares variables that say one thing alone.
func (e environment) checkRest(c claim) error {
	if n, ok, err := e.number("WORLD_SIZE"); err != nil || ok && n != c.World {
		return orElse(err, "WORLD_SIZE is %d and %s is %d", n, c.worldName, c.World)
	}
	if n, ok, err := e.number("PMIX_RANK"); err != nil || ok && n > c.Rank || ok && n != c.Rank && c.Launcher == "Open MPI" {
		return orElse(err, "PMIX_RANK is %d and %s is %d", n, c.rankName, c.Rank)
	}
	if n, ok, err := e.number("JOB_COMPLETION_INDEX"); err != nil || ok && n > c.Rank { // of the pod that holds this rank and lower ones
		return orElse(err, "JOB_COMPLETION_INDEX is %d and %s is %d", n, c.rankName, c.Rank)
	}
	return nil
}
