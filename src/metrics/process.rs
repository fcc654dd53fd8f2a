//! What is told of the process as a whole.

use super::families::families;
use super::{Counter, Gauge};

families! {
    /// Readiness, files, log and build.
    ProcessFamilies {
        /// 1 while the service is ready.
        ready(): Gauge = "sidemint_ready";
        /// 1 while the team is served as its file says; 0 while the file or its secrets have mistakes.
        team_up(team): Gauge = "sidemint_team_up";
        /// Configured files whose reading does not come to an end; their last good content stays in service.
        files_stuck(): Gauge = "sidemint_files_stuck";
        /// Lines of the log that were lost, because standard output was not read or could not be written.
        log_lines_dropped(): Counter = "sidemint_log_lines_dropped_total";
        /// Always 1; the version is the label.
        build_info(version): Gauge = "sidemint_build_info";
    }
}
