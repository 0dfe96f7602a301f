#!/usr/bin/env bash
# lmms-eval beside the locked environment, which has most of what it asks for: the rest is put into a folder of
# its own. It asks a model that `videothinker serve` serves. TOOLKITS names another folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export TOOLKITS=${TOOLKITS:-$PWD/.toolkits} PIP_DISABLE_PIP_VERSION_CHECK=1
packages=(
	lmms-eval==0.7.3 evaluate==0.4.6 datasets==5.2.0 multiprocess==0.70.19 xxhash==4.1.0 pytz==2026.6
	sacrebleu==2.6.0 portalocker==4.4.2 tabulate==0.10.0 colorama==0.4.6 lxml==6.1.3 tenacity==9.2.1
	pytablewriter==1.2.1 dataproperty==1.1.1 mbstrdecoder==1.1.5 pathvalidate==3.3.1 tabledata==1.3.5
	tcolorpy==0.1.7 typepy==1.3.5 chardet==6.0.0.post1 python-dateutil==2.9.0.post0 six==1.17.0
)
[ -d "$TOOLKITS/lmms_eval" ] ||
	.venv/bin/python -m pip install --quiet --no-deps --target "$TOOLKITS" "${packages[@]}"
.venv/bin/python -m pytest tests/integration/test_serving.py "$@"
