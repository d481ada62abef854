# Sourced in the repository's root: sets venv, a virtual environment with the pinned packages, and makes it where there is none (6 GB).
venv=${GOPRM_VENV:-runs/goldens-venv}
[ -x "$venv/bin/python" ] || { python3 -m venv "$venv"; "$venv/bin/pip" install --quiet -r scripts/goldens/requirements.txt; }
