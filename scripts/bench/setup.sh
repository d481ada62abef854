#!/usr/bin/env bash
# Installs what goprm is compared with into runs/bench, each program by itself: what is there stays, and of what cannot be installed the
# last words are kept in NAME.failed, which the tables then say. Python needs 12 GB on disk, the rest 1 GB. RIVALS: which of them.
set -uo pipefail
cd "$(dirname "$0")/../.."
work=${GOPRM_BENCH:-runs/bench}
rivals=${RIVALS:-pytorch zentorch openvino llama.cpp ik_llama.cpp}
ik_commit=8337e4cd3861406fc04e0854b1409cd1b027fbc9
mkdir -p "$work"

venv() { [ -x "$work/$1/bin/python" ] || python3 -m venv "$work/$1"; }

pytorch() { venv torch && "$work/torch/bin/python" -m pip install --quiet torch==2.15.0 transformers==5.24.0 peft==0.21.2 numpy safetensors; }

# zentorch works with one minor version of PyTorch alone.
zentorch() { venv zentorch && "$work/zentorch/bin/python" -m pip install --quiet zentorch==2.14.0.1 torch==2.14.1 transformers==5.24.0 numpy safetensors; }

openvino() { venv torch && "$work/torch/bin/python" -m pip install --quiet openvino==2026.4.1 nncf==3.4.0; }

# The source of llama.cpp comes with the Python package; the program alone is built.
llama_cpp() {
  if [ ! -d "$work/llama.cpp" ]; then
    mkdir -p "$work/sdist" && python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python -d "$work/sdist" llama-cpp-python==0.3.36 &&
      tar xzf "$work/sdist/"llama_cpp_python-*.tar.gz -C "$work/sdist" && mv "$work/sdist/"llama_cpp_python-*/vendor/llama.cpp "$work/llama.cpp" || return
    rm -rf "$work/sdist"
  fi
  build "$work/llama.cpp"
}

ik_llama_cpp() {
  if [ ! -d "$work/ik_llama.cpp" ]; then
    git clone --quiet --filter=blob:none https://github.com/ikawrakow/ik_llama.cpp "$work/ik_llama.cpp.part" &&
      git -C "$work/ik_llama.cpp.part" checkout --quiet $ik_commit && mv "$work/ik_llama.cpp.part" "$work/ik_llama.cpp" || return
  fi
  build "$work/ik_llama.cpp"
}

# GGML_IQK_FA_ALL_QUANTS is of ik_llama.cpp: keys and values of many types, which take most of the time to compile.
build() {
  cmake -S "$1" -B "$1/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_SERVER=OFF -DGGML_IQK_FA_ALL_QUANTS=OFF -DBUILD_SHARED_LIBS=OFF >/dev/null && cmake --build "$1/build" --target llama-bench -j "$(nproc)" >/dev/null
}

# ready NAME: the program is there and starts.
ready() {
  case $1 in
    pytorch) "$work/torch/bin/python" -c 'import peft, safetensors, torch, transformers' ;;
    zentorch) "$work/zentorch/bin/python" -c 'import torch, transformers, zentorch' ;;
    openvino) "$work/torch/bin/python" -c 'import nncf, openvino' ;;
    *) "$work/$1/build/bin/llama-bench" --help ;;
  esac >/dev/null 2>&1
}

for name in $rivals; do
  if ready "$name"; then rm -f "$work/$name.failed"; continue; fi
  echo "installing $name" >&2
  if "${name//./_}" 2>"$work/$name.log" && ready "$name"; then
    rm -f "$work/$name.failed" "$work/$name.log"
  else
    grep -v '^$' "$work/$name.log" | tail -n 1 >"$work/$name.failed"
    echo "$name: $(cat "$work/$name.failed")" >&2
  fi
done
