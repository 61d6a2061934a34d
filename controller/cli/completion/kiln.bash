# bash completion for kiln(1). Jobs and nodes come from the controller, which is asked for a second at most.

_kiln_ask() {
  local server=() i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --server) server=(--server "${COMP_WORDS[i + 1]}") ;;
    esac
  done
  timeout 1 kiln "${server[@]}" --json "$@" 2>/dev/null
}

# The values of a key in compact or pretty JSON of kiln's own: enough for numbers and ids.
_kiln_values() {
  grep -oE "\"$1\": *(\"[a-z0-9-]+\"|[0-9]+)" | sed -E 's/^[^:]*: *"?([a-z0-9-]+)"?$/\1/'
}

_kiln() {
  local cur prev words cword
  _init_completion || return
  local commands="submit types jobs job why wait cancel pause resume retry accept requeue set delete priority watch logs productions stats farm nodes node drain undrain forgive download film trust viewer login logout whoami user token audit"
  local verbs="show enable disable drain resume forgive wake sleep reboot forget tag schedule limits keys approve reject revoke rotate token tokens remove-token expect"
  local globals="--help --json --server --blender --token"
  local command="" position=0 i
  for ((i = 1; i < cword; i++)); do
    case ${words[i]} in
      --server | --blender | --frames | -f | --name | -n | --priority | --param | -p | --chunk | --format | --download | -d | --noop | \
        --type | -t | --template | --env | --frame-by-frame | --after | --start | --tag | --max-slots | --max-nodes | \
        --project | --sequence | --shot | \
        --device | --retries | --fail-pct | --max-run | --stall | \
        --state | -s | --limit | -l | --frame | --task | --fps | --folder | --project | --sequence | --shot | --step | --hours | \
        --max-slots | --max-nodes | --tag | --after | --start | --fair-share | --soft | --hard | --sleep-after | --token | --label | --uses | --days | --role | --user) ((i++)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=${words[i]}; else ((position++)); fi ;;
    esac
  done

  case $prev in
    --format) mapfile -t COMPREPLY < <(compgen -W "PNG JPEG OPEN_EXR OPEN_EXR_MULTILAYER TIFF WEBP BMP TARGA HDR DPX" -- "$cur") && return ;;
    --device) mapfile -t COMPREPLY < <(compgen -W "any cpu gpu" -- "$cur") && return ;;
    --state | -s) mapfile -t COMPREPLY < <(compgen -W "queued running paused done failed cancelled" -- "$cur") && return ;;
    --download | -d | --folder) _filedir -d && return ;;
    --type | -t) mapfile -t COMPREPLY < <(compgen -W "$(_kiln_ask types | tr '{' '\n' | grep '"built_in"' | _kiln_values name)" -- "$cur") && return ;;
    --template | --env) _filedir '@(yaml|yml|json)' && return ;;
    --after) mapfile -t COMPREPLY < <(compgen -W "$(_kiln_ask jobs --limit 100 | _kiln_values number)" -- "$cur") && return ;;
    --fair-share) mapfile -t COMPREPLY < <(compgen -W "on off" -- "$cur") && return ;;
    --blender) _filedir && return ;;
    --server | --frames | -f | --name | -n | --priority | --param | -p | --frame-by-frame | --chunk | --noop | --limit | -l | --frame | --task | --fps | --retries | --fail-pct | --max-run | --stall | \
      --project | --sequence | --shot | --step | --hours | --max-slots | --max-nodes | --tag | --start | --soft | --hard | --sleep-after | --token | --label | --uses | --days | --user) return ;;
    --role) mapfile -t COMPREPLY < <(compgen -W "viewer artist operator administrator" -- "$cur") && return ;;
  esac

  if [[ $cur == -* ]]; then
    local options=$globals
    case $command in
      "") options+=" --version" ;;
      submit) options+=" --frames --name --priority --chunk --format --autoexec --device --retries --fail-pct --max-run --stall --paused --no-pack --wait --download --noop --type --template --param --env --frame-by-frame --film --after --start --tag --max-slots --max-nodes --limit --project --sequence --shot" ;;
      jobs) options+=" --state --limit --project --sequence --shot" ;;
      requeue) options+=" --failed --all --frames --step" ;;
      set) options+=" --priority --max-slots --max-nodes --tag --after --start" ;;
      productions) options+=" --project --sequence" ;;
      stats) options+=" --step --hours" ;;
      farm) options+=" --fair-share --limit" ;;
      login) options+=" --use --days" ;;
      user) options+=" --role --no-password" ;;
      token) options+=" --user --role --days" ;;
      audit) options+=" --limit --user" ;;
      node) options+=" --label --uses --days --soft --hard --sleep-after" ;;
      logs) options+=" --frame --task --follow" ;;
      download) options+=" --frames --zip" ;;
      film) options+=" --fps --frames --folder" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    return
  fi

  case $command:$position in
    :*) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
    submit:0) _filedir blend ;;
    submit:*) _filedir ;;
    types:0) mapfile -t COMPREPLY < <(compgen -W "show" -- "$cur") ;;
    types:1) mapfile -t COMPREPLY < <(compgen -W "$(_kiln_ask types | tr '{' '\n' | grep '"built_in"' | _kiln_values name)" -- "$cur") ;;
    job:0 | why:0 | set:0 | stats:0 | wait:0 | cancel:0 | pause:0 | resume:0 | retry:0 | accept:0 | requeue:0 | delete:0 | priority:0 | watch:0 | logs:0 | download:0 | film:0)
      mapfile -t COMPREPLY < <(compgen -W "$(_kiln_ask jobs --limit 100 | _kiln_values number)" -- "$cur") ;;
    user:0) mapfile -t COMPREPLY < <(compgen -W "list add set remove" -- "$cur") ;;
    token:0) mapfile -t COMPREPLY < <(compgen -W "list add remove" -- "$cur") ;;
    node:0) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
    drain:0 | undrain:0 | forgive:0 | node:1)
      mapfile -t COMPREPLY < <(compgen -W "$(_kiln_ask nodes | tr '{' '\n' | grep '"presence"' | _kiln_values id)" -- "$cur") ;;
    download:1) _filedir -d ;;
    film:1) _filedir mp4 ;;
  esac
} && complete -F _kiln kiln
