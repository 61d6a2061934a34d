# fish completion for kiln(1). Jobs and nodes come from the controller, which is asked for a second at most.

function __kiln_jobs
    timeout 1 kiln --json jobs --limit 100 2>/dev/null | string match -rga '"number": *([0-9]+)'
end

function __kiln_nodes
    timeout 1 kiln --json nodes 2>/dev/null | string split '{' | string match -e '"presence"' | string match -rga '"id": *"([a-z0-9-]+)"'
end

function __kiln_types
    timeout 1 kiln --json types 2>/dev/null | string split '{' | string match -e '"built_in"' | string match -rga '"name": *"([a-z0-9-]+)"'
end

complete -c kiln -f
complete -c kiln -s h -l help -d 'Show help'
complete -c kiln -l json -d 'One JSON document on stdout'
complete -c kiln -l server -x -d 'The controller'
complete -c kiln -l token -x -d 'Who asks'
complete -c kiln -l blender -r -F -d 'Blender program that looks into scenes'
complete -c kiln -n __fish_use_subcommand -l version -d 'Show the version'

set -l commands submit types jobs job wait cancel pause resume retry accept requeue delete priority watch logs nodes drain undrain forgive download film \
    why set productions stats farm node trust viewer login logout whoami user token audit
set -l descriptions 'Send a scene and have it rendered' 'List the job types' 'List jobs, the newest first' 'Show one job' \
    'Wait until a job has ended' 'End a job' 'Start no more of its tasks' 'Go on with a paused job' \
    'Render again what failed' 'Say that held frames are right' 'Render held frames again' 'Remove a job and its frames' 'Change a job\'s priority' 'Watch live' \
    'Show what the renderer said' 'List the boxes of the farm' 'Let a node finish and take nothing new' \
    'Let a drained node work again' 'End a node\'s quarantine' 'Fetch a job\'s frames' 'Make an MP4 of a job\'s frames' \
    'Say why a job waits' 'Change a job while it lives' 'Totals of projects, sequences and shots' 'How long tasks took' \
    'Show the farm, or change its settings' 'Show or change one box' \
    'Believe a controller over the network' 'User and password for the live MQTT tree' 'Log in at the controller' 'Remove the token' \
    'Say who you are there' 'Who may use the farm' 'Keys for scripts' 'Who changed what'
for i in (seq (count $commands))
    complete -c kiln -n __fish_use_subcommand -a $commands[$i] -d $descriptions[$i]
end

complete -c kiln -n '__fish_seen_subcommand_from job why set stats wait cancel pause resume retry accept requeue delete priority watch logs download film' -k -a '(__kiln_jobs)'
complete -c kiln -n '__fish_seen_subcommand_from drain undrain forgive' -a '(__kiln_nodes)'
set -l verbs show enable disable drain resume forgive wake sleep reboot forget tag schedule limits keys approve reject revoke rotate token tokens remove-token expect
complete -c kiln -n "__fish_seen_subcommand_from node; and not __fish_seen_subcommand_from $verbs" -a "$verbs"
complete -c kiln -n "__fish_seen_subcommand_from node; and __fish_seen_subcommand_from $verbs" -a '(__kiln_nodes)'
complete -c kiln -n '__fish_seen_subcommand_from submit' -k -a '(__fish_complete_suffix .blend)'
complete -c kiln -n '__fish_seen_subcommand_from submit download film' -s f -l frames -x -d 'Frames, as in 1-24'
complete -c kiln -n '__fish_seen_subcommand_from submit' -s n -l name -x -d 'Name of the job'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l priority -x -d '0 to 100'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l chunk -x -d 'Frames a task'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l format -x -a 'PNG JPEG OPEN_EXR OPEN_EXR_MULTILAYER TIFF WEBP BMP TARGA HDR DPX' -d 'Image format'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l autoexec -d 'Run the scene\'s own Python'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l device -x -a 'any cpu gpu' -d 'What must render'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l retries -x -d 'Tries of a task after one that failed'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l fail-pct -x -d 'Give up when so many percent failed'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l max-run -x -d 'Seconds that a task may render'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l stall -x -d 'Seconds without a word from Blender'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l paused -d 'Do not start yet'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l no-pack -d 'Send the scene alone'
complete -c kiln -n '__fish_seen_subcommand_from submit' -s w -l wait -d 'Wait for the end'
complete -c kiln -n '__fish_seen_subcommand_from submit' -s d -l download -x -a '(__fish_complete_directories)' -d 'Fetch the frames'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l noop -x -d 'Tasks that render nothing'
complete -c kiln -n '__fish_seen_subcommand_from submit' -s t -l type -x -a '(__kiln_types)' -d 'A job type'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l template -r -F -d 'A job template'
complete -c kiln -n '__fish_seen_subcommand_from submit' -s p -l param -x -d 'A parameter, NAME=VALUE'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l env -r -F -d 'An environment template'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l frame-by-frame -x -d 'STEP:ON'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l film -d 'A film of the frames at the end'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l after -x -a '(__kiln_jobs)' -d 'Not before this job is done'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l start -x -d 'Not before'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l tag -x -d 'Only on such nodes'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l max-slots -x -d 'Tasks at once'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l max-nodes -x -d 'Nodes at once'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l limit -x -d 'Takes of a counted limit'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l project -x -d 'Where it belongs'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l sequence -x -d 'Where it belongs'
complete -c kiln -n '__fish_seen_subcommand_from submit' -l shot -x -d 'Where it belongs'
complete -c kiln -n '__fish_seen_subcommand_from user; and not __fish_seen_subcommand_from list add set remove' -a 'list add set remove'
complete -c kiln -n '__fish_seen_subcommand_from token; and not __fish_seen_subcommand_from list add remove node' -a 'list add remove'
complete -c kiln -n '__fish_seen_subcommand_from user token' -l role -x -a 'viewer artist operator administrator' -d 'What it may do'
complete -c kiln -n '__fish_seen_subcommand_from login token' -l days -x -d 'How long it lasts'
complete -c kiln -n '__fish_seen_subcommand_from types' -a 'show (__kiln_types)'
complete -c kiln -n '__fish_seen_subcommand_from download' -l zip -d 'As one archive'
complete -c kiln -n '__fish_seen_subcommand_from jobs' -s s -l state -x -a 'queued running paused done failed cancelled' -d 'Only these'
complete -c kiln -n '__fish_seen_subcommand_from jobs' -s l -l limit -x -d 'At most this many'
complete -c kiln -n '__fish_seen_subcommand_from logs' -l frame -x -d 'Of this frame'
complete -c kiln -n '__fish_seen_subcommand_from logs' -l task -x -d 'Of this task'
complete -c kiln -n '__fish_seen_subcommand_from logs' -l follow -d 'Wait for logs'
complete -c kiln -n '__fish_seen_subcommand_from download' -a '(__fish_complete_directories)'
complete -c kiln -n '__fish_seen_subcommand_from film' -l fps -x -d 'Frames a second'
complete -c kiln -n '__fish_seen_subcommand_from film' -l folder -x -a '(__fish_complete_directories)' -d 'Where the frames are'
complete -c kiln -n '__fish_seen_subcommand_from film' -k -a '(__fish_complete_suffix .mp4)'
complete -c kiln -n '__fish_seen_subcommand_from requeue' -l failed -d 'All that failed'
complete -c kiln -n '__fish_seen_subcommand_from requeue' -l all -d 'All that have ended'
complete -c kiln -n '__fish_seen_subcommand_from requeue' -s f -l frames -x -d 'Only with these frames'
complete -c kiln -n '__fish_seen_subcommand_from requeue stats' -l step -x -d 'Only of this step'
complete -c kiln -n '__fish_seen_subcommand_from jobs productions' -l project -x -d 'Of this project'
complete -c kiln -n '__fish_seen_subcommand_from jobs productions' -l sequence -x -d 'Of this sequence'
complete -c kiln -n '__fish_seen_subcommand_from jobs' -l shot -x -d 'Of this shot'
complete -c kiln -n '__fish_seen_subcommand_from stats' -l hours -x -d 'So far back'
complete -c kiln -n '__fish_seen_subcommand_from set' -s p -l priority -x -d '0 to 100'
complete -c kiln -n '__fish_seen_subcommand_from set' -l max-slots -x -d 'Tasks at once'
complete -c kiln -n '__fish_seen_subcommand_from set' -l max-nodes -x -d 'Nodes at once'
complete -c kiln -n '__fish_seen_subcommand_from set' -l tag -x -d 'A node must have it'
complete -c kiln -n '__fish_seen_subcommand_from set' -l after -x -a '(__kiln_jobs)' -d 'Must be done before'
complete -c kiln -n '__fish_seen_subcommand_from set' -l start -x -d 'Not before'
complete -c kiln -n '__fish_seen_subcommand_from farm' -l fair-share -x -a 'on off' -d 'Take turns between users'
complete -c kiln -n '__fish_seen_subcommand_from farm' -l limit -x -d 'NAME=N'
complete -c kiln -n '__fish_seen_subcommand_from limits' -l soft -x -d 'No new work above'
complete -c kiln -n '__fish_seen_subcommand_from limits' -l hard -x -d 'Moved away above'
complete -c kiln -n '__fish_seen_subcommand_from limits' -l sleep-after -x -d 'Minutes without work'
